"""Pictures: from bytes in a zip to the square of pixels that an encoder looks at.

The lessons show the steps one by one; `crop_and_resize` does the same in one go, and faster for large photographs.
"""

from __future__ import annotations

import io
import math
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile

from say_what_you_see.core.errors import CourseError
from say_what_you_see.data.archives import image_members, open_zip, read_member

_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF")  # Pillow knows more, some of which start other programs

_HEIC = dict.fromkeys((b"ftypheic", b"ftypheix", b"ftypmif1"), "HEIC")
_FOREIGN = {b"II*\0": "TIFF", b"MM\0*": "TIFF", b"ftypavif": "AVIF", **_HEIC}
"""The first bytes, some after four others, of files in formats that people have but the course does not read."""

MAX_DECODED_BYTES = 300_000_000
"""Pictures that take more memory than this to decode are refused: a file of a few kB can claim any size."""

LARGE_PIXELS = 12_500_000
"""Larger pictures are reduced by a whole factor as soon as they are decoded; work on them takes 24 bytes a pixel."""

MAX_JPEG_PIXELS = 250_000_000
"""Larger JPEGs are refused; smaller ones are decoded row by row at a fraction of their size. Phones take large ones."""

MAX_SCANNED_PIXELS = 2_000_000_000
"""The most pixels times scans of a JPEG, which bounds its decoding time: one in several scans usually has ten."""

MAX_READS = 60_000
"""Pictures that Pillow reads in more steps than this are refused: a file can consist of millions of small parts."""

_BYTES_PER_PIXEL = 4  # in Pillow, whatever the mode
_WEBP_BYTES_KEPT = 12  # measured: two canvases and the bytes that Pillow copies its pixels from
_STRIP_PIXELS = 1_000_000


def decode_image_from_buf(buf: bytes) -> np.ndarray:
    """Decode the bytes of a picture file to its pixels: uint8, (height, width, 3), RGB from 0 to 255.

    Any kind of picture becomes upright RGB: greyscale, CMYK, palette and 16-bit ones too. Transparent
    parts become white; an animation gives its first frame. A picture of more than `LARGE_PIXELS` is
    reduced to a fraction of its size.

    Raises:
        CourseError: if the bytes are not a picture, or a damaged one, or one of too many pixels.
    """
    with _open_image(buf) as image:
        return np.array(_to_rgb(image))


def image_center_crop(img: np.ndarray) -> np.ndarray:
    """Cut the largest square out of the middle of a picture: (height, width, 3) to (side, side, 3)."""
    height, width = img.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return img[top : top + side, left : left + side]


def crop_and_preprocess(
    img: np.ndarray, input_shape: tuple[int, int], preprocess_for_model: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Prepare a picture for an encoder: centre square, resized, in the encoder's own range of numbers.

    Args:
        img: uint8 pixels, (height, width, 3).
        input_shape: height and width that the encoder expects, such as (299, 299).
        preprocess_for_model: from 0..255 to what the encoder was trained on, such as -1..1.

    Returns:
        float32, (*input_shape, 3); `img` itself is not changed.
    """
    height, width = input_shape
    square = Image.fromarray(image_center_crop(img))
    resized = square.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(preprocess_for_model(np.array(resized, dtype="float32")), dtype="float32")


def crop_and_resize(buf: bytes, input_shape: tuple[int, int]) -> np.ndarray:
    """Decode a picture, cut out the centre square and resize it: uint8, (*input_shape, 3).

    The pixels are those of `decode_image_from_buf`, `image_center_crop` and the resizing in `crop_and_preprocess`,
    except that a JPEG at least four times as large as needed is decoded at 1/2, 1/4 or 1/8 of its size, still twice as
    large as needed: several times faster, with no visible difference. Other pictures of more than `LARGE_PIXELS` are
    reduced, too.

    Raises:
        CourseError: as `decode_image_from_buf` does.
    """
    height, width = input_shape
    enough = 2 * max(height, width)
    with _open_image(buf, enough) as image:
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        square = _to_rgb(image.crop((left, top, left + side, top + side)))
        return np.array(square.resize((width, height), Image.Resampling.BILINEAR))


def random_crop(image: np.ndarray) -> np.ndarray:
    """Cut a random square of 82 to 93 % of the side out of a square image and enlarge it to the image's size: RGB
    0..255, (side, side, 3). The same image gives the same square.
    """
    pixels = np.asarray(image, dtype="uint8")
    rng, side = np.random.default_rng(zlib.crc32(pixels.tobytes())), len(pixels)
    size = max(1, int(side * rng.uniform(0.82, 0.93)))
    left, top = rng.integers(side - size + 1, size=2).tolist()
    box = (left, top, left + size, top + size)
    return np.asarray(Image.fromarray(pixels).resize((side, side), Image.Resampling.BILINEAR, box), image.dtype)


def read_pictures(zip_fn: str | Path, fns: Sequence[str], side: int) -> list[np.ndarray]:
    """Read pictures from a zip, cropped to their centre squares and resized: uint8 RGB, (side, side, 3) each."""
    members = {PurePosixPath(member.filename).name: member for member in image_members(zip_fn)}
    with open_zip(zip_fn) as archive:
        return [crop_and_resize(read_member(archive, members[fn]), (side, side)) for fn in fns]


class _CountedReads(io.BytesIO):
    """Bytes that can be read in at most `MAX_READS` steps."""

    n_reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self.n_reads += 1
        if self.n_reads > MAX_READS:
            raise CourseError("the file consists of too many parts")
        return super().read(size)


@contextmanager
def _open_image(buf: bytes, enough: int | None = None) -> Iterator[Image.Image]:
    """Open, decode and turn an image upright; whatever goes wrong with it becomes a CourseError.

    A JPEG or a large image is decoded at the smallest fraction of its size whose width and height are `enough`; with
    None, at the largest fraction of at most `LARGE_PIXELS`, which is 1 for nearly all images.
    """
    file = _CountedReads(buf)
    try:  # Pillow warns of large images, or refuses them, but not if a format's class is called directly
        with JpegImageFile(file) if buf.startswith(b"\xff\xd8") else Image.open(file, formats=_FORMATS) as image:
            width, height = image.size
            needed = width * height * _bytes_kept(image, buf)
            factor = next((f for f in (1, 2, 4) if width * height / f**2 <= LARGE_PIXELS), 8)
            image.draft(None, (enough, enough) if enough else (width // factor, height // factor))  # changes JPEGs only
            needed += math.prod(image.size) * _BYTES_PER_PIXEL
            if needed > MAX_DECODED_BYTES or width * height > MAX_JPEG_PIXELS:
                raise CourseError(
                    f"the picture is too large ({width} x {height} pixels); shrink it, or save it as JPEG"
                )
            image.load()
            yield _turn_upright(_reduced(image, enough) if math.prod(image.size) > LARGE_PIXELS else image)
    except CourseError:
        raise
    except Exception as error:  # a damaged image can raise nearly anything
        raise CourseError(_reason(buf, error)) from error


def _bytes_kept(image: Image.Image, buf: bytes) -> float:
    """The bytes per pixel that a decoder keeps besides the pixels; refuses a JPEG whose scans would take minutes."""
    if image.format == "WEBP":
        return _WEBP_BYTES_KEPT
    if not isinstance(image, JpegImageFile) or image.fp is None:
        return 0
    # Pillow has just read the header of the first scan, which begins with its length and the number of its colours.
    first, length = image.fp.tell(), 6 + 2 * image.layers
    has_all_colours = buf.startswith(b"\xff\xda" + length.to_bytes(2) + bytes([image.layers]), first - 2 - length)
    if has_all_colours and not image.info.get("progressive"):
        return 0  # libjpeg needs memory for a few rows only
    end = buf.find(b"\xff\xd9", first)
    n_scans = 1 + buf.count(b"\xff\xda", first, end if end > 0 else len(buf))
    if n_scans * math.prod(image.size) > MAX_SCANNED_PIXELS:
        raise CourseError(f"the picture is too large for a JPEG in {n_scans} parts; shrink it")
    samples = [horizontal * vertical for _, horizontal, vertical, _ in image.layer]
    return 2 * sum(samples) / max(samples)  # all coefficients, in 16 bits


def _reduced(image: Image.Image, enough: int | None) -> Image.Image:
    """A large image reduced by a whole factor, as RGB, strip by strip: conversions take several times its memory."""
    factor = max(math.ceil((math.prod(image.size) / LARGE_PIXELS) ** 0.5), min(image.size) // (enough or LARGE_PIXELS))
    small = Image.new("RGB", (-(-image.width // factor), -(-image.height // factor)))
    small.info = {key: value for key, value in image.info.items() if key != "transparency"}  # includes EXIF data
    rows = factor * max(1, _STRIP_PIXELS // (image.width * factor))
    for top in range(0, image.height, rows):
        strip = image.crop((0, top, image.width, min(top + rows, image.height)))
        small.paste(_to_rgb(strip).reduce(factor), (0, top // factor))
    return small


def _reason(buf: bytes, error: Exception) -> str:
    """Why a picture could not be read, in a few words."""
    if not buf:
        return "the file is empty"
    if isinstance(error, UnidentifiedImageError):
        foreign = _FOREIGN.get(buf[4:12]) or _FOREIGN.get(buf[:4])
        other = f"; it looks like {foreign}: save it as JPEG or PNG first" if foreign else ""
        return f"the file is not a picture in a known format{other}"
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return "the picture has too many pixels"
    if "truncated" in str(error).lower():
        return "the file is truncated"
    return f"the picture is damaged ({error})"


def _turn_upright(image: Image.Image) -> Image.Image:
    """Turn a picture upright according to its EXIF data; damaged data does no harm."""
    with suppress(Exception):
        image = ImageOps.exif_transpose(image)
    return image


def _to_rgb(image: Image.Image) -> Image.Image:
    """Convert a picture of any mode to RGB."""
    if image.mode.startswith("I"):  # 16 bits a pixel: Pillow would clip at 255 instead of scaling
        return Image.fromarray(np.clip(np.asarray(image) >> 8, 0, 255).astype("uint8")).convert("RGB")
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")

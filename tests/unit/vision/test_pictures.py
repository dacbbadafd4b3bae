"""Pictures of every kind become the same upright RGB square, and bad ones become a clear message."""

import io
import struct
import sys
import zlib

import keras
import numpy as np
import pytest
from PIL import Image

from say_what_you_see.core.errors import CourseError
from say_what_you_see.vision import pictures
from say_what_you_see.vision.pictures import (
    crop_and_preprocess,
    crop_and_resize,
    decode_image_from_buf,
    image_center_crop,
    random_crop,
)


def gradient(width: int, height: int) -> Image.Image:
    """A smooth RGB picture that no flip or turn leaves as it is."""
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.stack([x, y, (x + 2 * y) / 3], axis=-1).astype("uint8"))


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(("mode", "kind"), [
    ("RGB", "PNG"), ("RGB", "BMP"), ("RGB", "WEBP"), ("RGB", "JPEG"), ("RGBA", "PNG"), ("CMYK", "JPEG"),
    ("P", "PNG"), ("P", "GIF"), ("L", "PNG"), ("LA", "PNG"), ("1", "PNG"),
])  # fmt: skip
def test_pictures_of_every_mode_decode_to_nearly_the_same_pixels(mode, kind):
    picture = gradient(64, 48)
    pixels = decode_image_from_buf(encoded(picture.convert(mode), kind))
    assert pixels.shape == (48, 64, 3) and pixels.dtype == np.uint8
    expected = picture.convert("L").convert("RGB") if mode in ("L", "LA", "1") else picture
    tolerance = {"P": 25, "1": 128}.get(mode, 6)  # a palette has few colours, a bitmap two
    assert np.abs(pixels.astype(int) - np.asarray(expected)).mean() < tolerance


def test_sixteen_bits_are_scaled_not_cut():
    levels = np.linspace(0, 65535, 256, dtype="uint16").reshape(16, 16)
    pixels = decode_image_from_buf(encoded(Image.fromarray(levels)))
    assert (pixels[..., 0].ravel() == np.arange(256)).all()


@pytest.mark.parametrize("mode", ["RGB", "P", "L"])
def test_a_transparent_colour_is_white_and_the_others_stay(mode):
    image = Image.new("RGB", (8, 8), "black")
    image.paste("blue", (0, 0, 4, 8))
    image = image.convert(mode)
    pixels = decode_image_from_buf(encoded(image, transparency=image.getpixel((0, 0))))
    assert (pixels[:, :4] == 255).all() and (pixels[:, 4:] == 0).all()
    buf = encoded(Image.new("RGBA", (8, 8), (0, 0, 0, 0)).convert("LA" if mode == "L" else "RGBA"))
    assert (decode_image_from_buf(buf) == 255).all()


TURNED_BY_CAMERA = {
    1: None, 2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}  # fmt: skip
"""How a camera stores an upright picture under each value of the EXIF note."""


@pytest.mark.parametrize("orientation", TURNED_BY_CAMERA)
def test_the_exif_note_turns_a_picture_upright(orientation):
    upright, exif = gradient(31, 20), Image.Exif()
    exif[0x0112] = orientation
    how = TURNED_BY_CAMERA[orientation]
    stored = upright if how is None else upright.transpose(how)
    buf = encoded(stored, exif=exif)
    assert (decode_image_from_buf(buf) == np.asarray(upright)).all()
    assert (crop_and_resize(buf, (20, 20)) == image_center_crop(np.asarray(upright))).all()


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_a_damaged_exif_note_does_no_harm():
    picture = gradient(31, 20)
    buf = encoded(picture, exif=b"Exif\x00\x00MM\x00*\x00\x00\x00\x08\xff\xff\x01\x12")
    assert (decode_image_from_buf(buf) == np.asarray(picture)).all()


def test_an_animation_shows_its_first_frame():
    frames = [Image.new("RGB", (10, 10), colour) for colour in ("red", "blue")]
    buf = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert (decode_image_from_buf(buf) == (255, 0, 0)).all()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "GIF"])
def test_a_truncated_picture_is_refused_wherever_it_was_cut(kind):
    buf = encoded(gradient(64, 48), kind)
    for cut in range(0, len(buf) * 9 // 10, max(1, len(buf) // 40)):
        with pytest.raises(CourseError) as caught:
            crop_and_resize(buf[:cut], (24, 24))
        assert len(str(caught.value)) < 120 and "0x" not in str(caught.value)


@pytest.mark.parametrize(("buf", "reason"), [
    (b"", "empty"), (b"this is no picture", "known format$"), (b"\0\0\0\x18ftypisom" + bytes(100), "known format$"),
    (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "known format$"),
    *((start + bytes(100), f"known format; it looks like {name}: save it as JPEG or PNG first") for start, name in (
        (b"\0\0\0\x18ftypheic", "HEIC"), (b"\0\0\0\x18ftypavif", "AVIF"), (b"II*\0", "TIFF"), (b"MM\0*", "TIFF"),
    )),
], ids=["empty", "text", "film", "PostScript", "HEIC", "AVIF", "TIFF", "big-endian TIFF"])  # fmt: skip
def test_what_is_no_picture_is_refused_with_a_reason(buf, reason):
    for decode in (decode_image_from_buf, lambda b: crop_and_resize(b, (9, 9))):
        with pytest.raises(CourseError, match=reason):
            decode(buf)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (10, 7), (7, 10), (11, 4), (6, 6)])
def test_the_centre_crop_is_the_largest_square_in_the_middle(shape):
    rows, columns = np.indices(shape)
    crop = image_center_crop(np.stack([rows, columns, rows], axis=-1))
    assert crop.shape == (min(shape), min(shape), 3)
    for axis, length in enumerate(shape):
        before, after = crop[..., axis].min(), length - 1 - crop[..., axis].max()
        assert after - before in (0, 1)


def test_preprocessing_gets_floats_and_leaves_the_picture_alone():
    picture = np.asarray(gradient(40, 30)).copy()
    before = picture.copy()
    result = crop_and_preprocess(picture, (16, 12), keras.applications.inception_v3.preprocess_input)
    assert result.shape == (16, 12, 3) and result.dtype == np.float32
    assert -1 <= result.min() < -0.5 and 0.5 < result.max() <= 1
    assert (picture == before).all()


def both_ways(buf: bytes, input_shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """The pixels by the quick way, and by the steps one by one."""
    slow = crop_and_preprocess(decode_image_from_buf(buf), input_shape, lambda images: images)
    return crop_and_resize(buf, input_shape).astype(int), slow.astype(int)


@pytest.mark.parametrize("size", [(20, 31), (64, 64), (90, 127), (127, 240), (255, 300)])
@pytest.mark.parametrize(("kind", "mode"), [("JPEG", "RGB"), ("JPEG", "CMYK"), ("PNG", "RGBA"), ("GIF", "P")])
def test_the_quick_way_gives_the_same_pixels(size, kind, mode):
    quick, slow = both_ways(encoded(gradient(*size).convert(mode), kind), (64, 64))
    assert (quick == slow).all()


@pytest.mark.parametrize("size", [(256, 257), (700, 260), (1100, 1500)])
def test_the_quick_way_gives_close_pixels_for_large_photographs(size):
    noise = np.random.default_rng(0).normal(0, 20, (size[1], size[0], 1))
    picture = Image.fromarray(np.clip(np.asarray(gradient(*size)) + noise, 0, 255).astype("uint8"))
    quick, slow = both_ways(encoded(picture, "JPEG", quality=90), (64, 64))
    assert np.abs(quick - slow).mean() < 2


# Photographs of phones


def grey_jpeg(width: int, height: int) -> bytes:
    """A grey JPEG of any size, made without its pixels: all its squares of 16 x 16 are the same four bytes."""
    small = encoded(Image.new("RGB", (16, 16), (128, 128, 128)), "JPEG")
    frame, scan = small.index(b"\xff\xc0"), small.index(b"\xff\xda")
    body = scan + 2 + int.from_bytes(small[scan + 2 : scan + 4])
    header = bytearray(small[:body])
    header[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(header) + small[body:-2] * (-(-width // 16) * -(-height // 16)) + small[-2:]


PEAK = """
import resource, sys
from say_what_you_see.vision.pictures import crop_and_resize
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
buffers = [open(name, "rb").read() for name in sys.argv[1:]]
crop_and_resize(buffers[0], (299, 299))
before = peak()
assert (crop_and_resize(buffers[1], (299, 299)) == 128).all()
print(peak() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is measured in other units here")
@pytest.mark.parametrize("size", [(12_000, 9_000), (16_320, 12_240)])
def test_photographs_of_108_and_200_megapixels_take_little_memory(size, tmp_path, run_python):
    paths = [tmp_path / "small.jpg", tmp_path / "large.jpg"]
    for path, (width, height) in zip(paths, ((64, 64), size), strict=True):
        path.write_bytes(grey_jpeg(width, height))
    assert float(run_python(PEAK, *paths).stdout) < 50, "MB; all pixels would take 400 and more"


@pytest.mark.parametrize("input_shape", [(16, 16), (64, 48), (299, 299)])
@pytest.mark.parametrize(
    ("kind", "mode"), [("JPEG", "RGB"), ("PNG", "RGBA"), ("PNG", "P"), ("BMP", "L"), ("WEBP", "RGB")]
)
def test_a_large_picture_of_any_kind_is_nearly_the_same_square(kind, mode, input_shape, monkeypatch):
    exif = Image.Exif()
    exif[0x0112] = 6
    buf = encoded(gradient(640, 500).convert(mode), kind, **({} if kind == "BMP" else {"exif": exif}))
    expected = crop_and_resize(buf, input_shape).astype(int)
    monkeypatch.setattr(pictures, "LARGE_PIXELS", 100_000)
    assert np.abs(crop_and_resize(buf, input_shape) - expected).mean() < (1 if kind == "JPEG" else 3)
    assert decode_image_from_buf(buf).shape == ((250, 320, 3) if kind == "BMP" else (320, 250, 3)), "half, and upright"


@pytest.mark.parametrize(("kind", "options", "bytes_per_pixel"), [
    ("PNG", {}, 4), ("WEBP", {"lossless": True}, 16), ("JPEG", {}, 4), ("JPEG", {"progressive": True}, 7),
    ("JPEG", {"progressive": True, "subsampling": 0}, 10),
])  # fmt: skip
def test_a_picture_is_refused_before_it_takes_more_memory_than_stated(kind, options, bytes_per_pixel, monkeypatch):
    buf = encoded(gradient(640, 500), kind, **options)
    monkeypatch.setattr(pictures, "MAX_DECODED_BYTES", bytes_per_pixel * 640 * 500)
    assert decode_image_from_buf(buf).shape == (500, 640, 3)
    monkeypatch.setattr(pictures, "MAX_DECODED_BYTES", bytes_per_pixel * 640 * 500 - 1)
    monkeypatch.setattr(Image.Image, "load", pytest.fail)
    with pytest.raises(CourseError, match=r"too large \(640 x 500 pixels\)"):
        decode_image_from_buf(buf)


def test_a_jpeg_of_many_scans_or_a_picture_of_many_small_parts_is_refused(monkeypatch):
    buf = encoded(gradient(64, 50), "JPEG", progressive=True)
    last_scan = buf[buf.rindex(b"\xff\xda") : -2]
    many_scans = buf[:-2] + 300 * last_scan + buf[-2:]
    assert decode_image_from_buf(many_scans).shape == (50, 64, 3), "it is small"
    monkeypatch.setattr(pictures, "MAX_SCANNED_PIXELS", 100 * 64 * 50)
    monkeypatch.setattr(pictures, "MAX_READS", 1000)
    assert decode_image_from_buf(buf).shape == (50, 64, 3)
    png, chunk = encoded(gradient(64, 50)), b"\0\0\0\0abCd" + struct.pack(">I", zlib.crc32(b"abCd"))
    for bad in (many_scans, buf[:2] + b"\xff" * 2000 + buf[2:], png[:33] + 1000 * chunk + png[33:]):
        with pytest.raises(CourseError, match="parts"):
            decode_image_from_buf(bad)


def test_a_damaged_large_jpeg_is_refused():
    whole = grey_jpeg(12_000, 9_000)
    for damaged in (whole[:-2000], whole[:700]):
        for decode in (decode_image_from_buf, lambda buf: crop_and_resize(buf, (299, 299))):
            with pytest.raises(CourseError):
                decode(damaged)


def test_a_random_crop_is_a_part_of_the_image_and_follows_from_it():
    side = 100
    image = np.stack([*np.meshgrid(np.arange(side), np.arange(side)), np.full((side, side), 7)], axis=-1)
    crop = random_crop(image.astype("float32"))
    assert crop.shape == image.shape and crop.dtype == np.float32
    np.testing.assert_array_equal(crop, random_crop(image.astype("float32")))
    for spread in (np.ptp(crop[50, :, 0]), np.ptp(crop[:, 50, 1])):
        assert 0.78 * side < spread < 0.95 * side
    assert (crop[..., 2] == 7).all()

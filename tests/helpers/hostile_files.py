"""Pictures, captions and zips, some of them broken or made to do harm."""

import io
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

CAPTIONS = {
    "empty": "",
    "white": " \t\n ",
    "10,000 words": "word " * 10_000,
    "one word of 100,000 letters": "w" * 100_000,
    "Arabic, right to left": "كرة حمراء فوق طائرة ورقية",
    "Hebrew with an English word": "כדור kite אדום",
    "Hindi": "एक लाल गेंद",
    "Chinese": "一个红色的球在风筝上面",
    "Thai": "ลูกบอลสีแดง",
    "an emoji of a family": "👨‍👩‍👧‍👦 beside a 🪁",
    "accents apart": "un cafe\u0301",
    "control characters": "a\x00red\x07\x08ball\x7f\x9b1m",
    "an escape sequence": "\x1b[2J\x1b]0;title\x07a \x1b[31mred\x1b[0m ball",
    "a carriage return that overwrites": "harmless\rError: all is lost",
    "letters turned around": "a \u202eder\u202c ball \u2066x\u2069",
    "other ends of line": "a\u2028ball\u2029and\x85a\x0bkite\x0c",
    "markup": '<script>alert(1)</script><img src=x onerror="alert(2)">&lt;b&gt;',
    "the end of an attribute": "\"><svg onload='alert(3)'>",
    "Markdown": "| a | [link](javascript:alert(4)) | ![x](http://evil.example/x.png) `code` **bold** # title",
    "mathematics": r"$\frac{1}{0}$ and $x_{$",
    "formats": "%s %d {0} {name} {{}} ${HOME} $(ls)",
    "a path": "../../etc/passwd",
    "special words": "#START# #END# #PAD# #UNK# <S> </S>",
}
"""Captions that a data set, a model or a web page may bring."""


def picture(kind="PNG", size: tuple[int, int] = (24, 16), mode="RGB", number: int = 0, **options: Any) -> bytes:
    """The bytes of a small, smooth picture, another one for every number."""
    coarse = np.random.default_rng(number).integers(0, 256, (3, 4, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).convert(mode).save(buffer, kind, **options)
    return buffer.getvalue()


def animation(kind: str, frames: int) -> bytes:
    """An animation of random noise."""
    rng = np.random.default_rng(0)
    images = [Image.fromarray(rng.integers(0, 255, (16, 24, 3), dtype=np.uint8)) for _ in range(frames)]
    buffer = io.BytesIO()
    images[0].save(buffer, kind, save_all=True, append_images=images[1:])
    return buffer.getvalue()


def claiming_picture(kind: str, width: int, height: int) -> bytes:
    """A few bytes that claim to be a picture of so many pixels."""
    if kind == "PNG":
        header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
        chunks = (header, b"IDAT" + zlib.compress(bytes(100)), b"IEND")
        parts = [struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in chunks]
        return b"\x89PNG\r\n\x1a\n" + b"".join(parts)
    data = bytearray(picture(kind))
    if kind == "GIF":
        data[6:10] = struct.pack("<HH", width, height)
    elif kind == "BMP":
        data[18:26] = struct.pack("<ii", width, height)
    else:  # a JPEG
        start = data.index(b"\xff\xc0") + 5
        data[start : start + 4] = struct.pack(">HH", height, width)
    return bytes(data)


def write_zip(path: Path, members: Mapping[str, bytes | str] | list[tuple[str, bytes]], packed: bool = False) -> Path:
    """Write a zip with these members; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED) as archive:
        for name, data in dict(members).items():
            archive.writestr(zipfile.ZipInfo(name), data, archive.compression)
    return path


def captions_json(captions: Mapping[str, list[str]], first_id: int = 0) -> dict[str, list[dict]]:
    """Captions in COCO's format; every third number is that of an image."""
    images = [{"id": first_id + 3 * index, "file_name": name} for index, name in enumerate(captions)]
    annotations = [
        {"id": 100 * image["id"] + number, "image_id": image["id"], "caption": text}
        for image in images
        for number, text in enumerate(captions[image["file_name"]])
    ]
    return {"images": images, "annotations": annotations}

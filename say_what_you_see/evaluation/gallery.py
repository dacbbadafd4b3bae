"""A page of pictures with their captions, in one HTML file that can be sent around; `gallery.html` is its template."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from say_what_you_see.core.files import atomic_path
from say_what_you_see.core.text import visible


@dataclass(frozen=True)
class GalleryItem:
    """A picture of a gallery: pixels (height, width, 3), or None; its caption; and more lines in small print."""

    picture: np.ndarray | None
    caption: str
    lines: Sequence[str] = ()
    error: bool = False


@dataclass(frozen=True)
class GalleryPart:
    """A part below the pictures: a figure, by its address and in words, and a table, as text."""

    heading: str
    figure: tuple[str, str] | None = None
    table: str = ""


def write_gallery(
    path: str | Path,
    title: str,
    sections: Mapping[str, Sequence[GalleryItem]],
    introduction: str = "",
    parts: Sequence[GalleryPart] = (),
) -> None:
    """Write a page with a grid of pictures under each heading, if it is not empty, and further parts below.

    Every text is shown literally, never as markup, and cannot reverse the direction of what follows it.
    """
    import jinja2  # only when there is a page to write

    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, finalize=lambda value: visible(str(value))
    )
    template = environment.from_string(Path(__file__).with_name("gallery.html").read_text(encoding="utf-8"))
    with atomic_path(path) as partial:
        template.stream(title=title, sections=sections, introduction=introduction, parts=parts, data_url=data_url).dump(
            str(partial), encoding="utf-8"
        )


def data_url(picture: np.ndarray) -> str:
    """A picture, uint8 RGB (height, width, 3), as text that a browser shows without loading anything else."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")

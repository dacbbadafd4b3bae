"""A page of pictures with their captions, in one HTML file that can be sent around."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from say_what_you_see.core.files import atomic_path
from say_what_you_see.core.text import visible

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem; color: #1a1a1a;
       background: #fff; }
ul.pictures { list-style: none; padding: 0; display: grid; gap: 1.25rem;
              grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); }
ul.pictures img { width: 100%; max-width: 15rem; height: auto; border-radius: 4px; }
p.caption { font-weight: 600; margin: .4rem 0 0; }
p.more { margin: .2rem 0 0; color: #555; font-size: .875rem; overflow-wrap: anywhere; }
p.error { color: #9c2f00; overflow-wrap: anywhere; }
pre { overflow-x: auto; font-size: .8125rem; line-height: 1.35; }
figure { margin: 0 0 1.5rem; overflow-x: auto; }
figure img { max-width: 100%; }
"""


@dataclass(frozen=True)
class GalleryItem:
    """A picture of a gallery: pixels (height, width, 3), or None; its caption; and more lines in small print."""

    picture: np.ndarray | None
    caption: str
    lines: Sequence[str] = field(default_factory=tuple)
    error: bool = False


def write_gallery(
    path: str | Path,
    title: str,
    sections: Mapping[str, Sequence[GalleryItem]],
    introduction: str = "",
    more_html: str = "",
) -> None:
    """Write a page with one grid of pictures for each section; every text is shown as it is, never as markup.

    Args:
        sections: heading to items; an empty heading shows none.
        more_html: goes to the end of the page as it is.
    """
    with atomic_path(path) as partial:
        partial.write_text(gallery_page(title, sections, introduction, more_html), encoding="utf-8")


def gallery_page(
    title: str, sections: Mapping[str, Sequence[GalleryItem]], introduction: str = "", more_html: str = ""
) -> str:
    """The page as HTML."""
    body = [f"<h1>{escape(title)}</h1>", *([f"<p>{escape(introduction)}</p>"] if introduction else [])]
    for heading, items in sections.items():
        if heading:
            body.append(f"<h2>{escape(heading)}</h2>")
        body += ['<ul class="pictures">', *(f"<li>{_item(item)}</li>" for item in items), "</ul>"]
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE}</style></head>\n<body>\n" + "\n".join([*body, more_html]) + "\n</body></html>\n"
    )


def escape(text: str) -> str:
    """A text for a page: nothing in it is markup, and nothing in it turns what comes after it around."""
    return html.escape(visible(text))


def _item(item: GalleryItem) -> str:
    parts = []
    if item.picture is not None:
        parts.append(f'<img src="{data_url(item.picture)}" alt="{escape(item.caption)}">')
    parts.append(f'<p class="caption{" error" if item.error else ""}" dir="auto">{escape(item.caption)}</p>')
    return "".join([*parts, *(f'<p class="more" dir="auto">{escape(line)}</p>' for line in item.lines)])


def data_url(picture: np.ndarray) -> str:
    """A picture as text, which a browser shows without asking for more: uint8 RGB, (height, width, 3)."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")

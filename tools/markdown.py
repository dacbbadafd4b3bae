"""What a Markdown text contains: headings, links, alternative texts of pictures, and prose without code."""

import re
from functools import cache

from bs4 import BeautifulSoup
from markdown_it import MarkdownIt

_MARKDOWN = MarkdownIt("commonmark").enable("table")


@cache
def _html(text: str) -> BeautifulSoup:
    return BeautifulSoup(_MARKDOWN.render(text), "html.parser")


def headings_in(text: str) -> list[tuple[int, str]]:
    """The level, counted from 1, and text of each heading, in order."""
    return [(int(tag.name[1]), tag.get_text()) for tag in _html(text)(re.compile("^h[1-6]$"))]


def links_in(text: str) -> list[str]:
    """The addresses of links and pictures, in Markdown and in HTML within it."""
    return [tag[name] for tag in _html(text)(True) for name in ("href", "src") if tag.get(name)]


def alternative_texts_in(text: str) -> list[str]:
    """The alternative texts of the pictures, in Markdown and in HTML within it."""
    return [picture.get("alt", "") for picture in _html(text)("img")]


def prose(text: str) -> str:
    """Markdown without code and addresses; what is left keeps its lines."""
    lines = text.splitlines()
    for token in _MARKDOWN.parse(text):
        if token.type in ("fence", "code_block") and token.map:
            lines[slice(*token.map)] = [""] * (token.map[1] - token.map[0])
    text = re.sub(r"`[^`]+`", lambda match: "\n" * match[0].count("\n"), "\n".join(lines))
    return re.sub(r"\]\([^)\s]+\)|<?https?://[^\s>)]+>?", "]", text)

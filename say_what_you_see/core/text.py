"""Texts from elsewhere, made fit for where they are shown: a terminal, a table in Markdown, JSON."""

from __future__ import annotations

import json
import re
from typing import Any

_LONGEST = 4000  # characters of a message; what a file holds may be quoted in it

# Control characters but tab and new line; halves of characters; what turns the direction of all that follows.
_INVISIBLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_MARKS = re.compile(r"[\\`*_{}\[\]<>()#+|~&$]")


def visible(text: str) -> str:
    r"""A text without characters that a terminal obeys: they are spelled out, as in `\x1b[2J`.

    Letters of every script stay as they are, also those that are written from right to left.

    >>> visible("red \x1b[31mball")
    'red \\x1b[31mball'
    """
    return _INVISIBLE.sub(_spelled, text)


def message(text: str) -> str:
    """The same for a message, which is cut in its middle where a file made it very long."""
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST // 2]} … {text[-_LONGEST // 2 :]}"
    return visible(text)


def markdown_text(text: Any) -> str:
    """A text as Markdown that shows it to the letter, on one line: for a cell of a table.

    Marks are written by their numbers, which every dialect understands; a backslash helps in some of them only.

    >>> markdown_text("a <b>dog")
    'a &#60;b&#62;dog'
    """
    return _MARKS.sub(lambda found: f"&#{ord(found[0])};", " ".join(visible(str(text)).split()))


def terminal_json(data: Any) -> str:
    """JSON to print: readable in every script, and nothing in it that a terminal obeys."""
    text = json.dumps(data, indent=2, ensure_ascii=False)
    return _INVISIBLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _spelled(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"

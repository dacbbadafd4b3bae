"""Makes text from elsewhere safe to show: in a terminal, a Markdown table or JSON."""

import json
import re
from typing import Any

_MAX_MESSAGE = 4000  # characters; a message may quote a file

# Control characters except tab and newline, surrogates, and whatever reverses the direction of all that follows
_INVISIBLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_PASSWORD = re.compile(r"://[^/?#\s]*@")
_MARKS = re.compile(r"[\\`*_{}\[\]<>()#+|~&$]")


def visible(text: str) -> str:
    r"""A text whose control characters are spelled out, as in `\x1b[2J`, so that no terminal obeys them.

    Letters of every script stay as they are, right-to-left ones included.

    >>> visible("red \x1b[31mball")
    'red \\x1b[31mball'
    """
    return _INVISIBLE.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def without_password(text: str) -> str:
    """A text without the user names and passwords in its addresses.

    >>> without_password("http://me:secret@127.0.0.1/a.jpg")
    'http://127.0.0.1/a.jpg'
    """
    return _PASSWORD.sub("://", text)


def message(text: str) -> str:
    """A visible text for a message: without passwords, and cut in the middle where a file made it very long."""
    text = without_password(text)
    if len(text) > _MAX_MESSAGE:
        text = f"{text[: _MAX_MESSAGE // 2]} … {text[-_MAX_MESSAGE // 2 :]}"
    return visible(text)


def markdown_text(text: Any) -> str:
    """A text as Markdown that shows it literally, on one line: for the cell of a table.

    Special characters become character references, which every dialect understands; backslashes work only in some.

    >>> markdown_text("a <b>dog")
    'a &#60;b&#62;dog'
    """
    return _MARKS.sub(lambda match: f"&#{ord(match[0])};", " ".join(visible(str(text)).split()))


def terminal_json(data: Any, encoding: str | None = None) -> str:
    """JSON to print: readable in every script that the encoding has, without anything that a terminal obeys."""
    text = json.dumps(data, indent=2, ensure_ascii=False)
    text = _INVISIBLE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
    try:
        text.encode(encoding or "utf-8")
    except UnicodeEncodeError:
        return json.dumps(data, indent=2)
    return text

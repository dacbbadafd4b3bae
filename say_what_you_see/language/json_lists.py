"""Reads the long lists of a JSON file a piece at a time: the whole takes many times its size in memory."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from typing import BinaryIO

PIECE = 2**16
"""So many bytes are read at a time. What becomes of them stays in the processor's cache."""

_LONGEST_VALUE = 2**26  # a single value of more bytes is left to those who read all at once
_TRIES = 8  # places where a piece may be cut
_KEY = re.compile(rb'[ \t\n\r]*"([^"\\\x00-\x1f]*)"[ \t\n\r]*:[ \t\n\r]*')
_SPACE = b" \t\n\r"


class Unusual(Exception):
    """The file is damaged, or of a form that has to be read in the plain way."""


def read_lists(file: BinaryIO, names: Collection[str]) -> Iterator[tuple[str, list[dict]]]:
    """The elements of lists in a JSON object, in their order, some at a time, and to which list they belong.

    Together they are what `json.load` gives under these names.

    Args:
        file: UTF-8, with an object on the outside.
        names: of the lists; their elements are objects. All other values are read and dropped.

    Raises:
        Unusual: possibly after some elements have come, if it is anything else, or a list is missing or comes twice.
    """
    text, seen = _Text(file), []
    text.expect(b"{")
    while True:
        seen.append(text.key())
        if seen[-1] in names:
            yield from ((seen[-1], elements) for elements in _elements(text))
        else:
            text.drop_value()
        if text.one_of(b",}") == b"}":
            break
    text.expect_end()
    if any(seen.count(name) != 1 for name in names):
        raise Unusual("a list is missing or comes twice")


def _elements(text: _Text) -> Iterator[list[dict]]:
    """The elements of a list that begins here; afterwards the text stands behind it."""
    text.expect(b"[")
    if text.peek() == b"]":
        text.expect(b"]")
        return
    while True:
        elements, is_last = text.objects()
        if set(map(type, elements)) != {dict}:
            raise Unusual("there are other elements than objects")
        yield elements
        if is_last or text.one_of(b",]") == b"]":
            return
        if text.peek() == b"]":
            raise Unusual("a comma too many")


class _Text:
    """JSON that is read from the front; the part that is in memory grows where that is needed."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._ahead = file, b""

    def _more(self, at_least: int = PIECE) -> bool:
        """Read on; False at the end."""
        piece = self._file.read(at_least)
        self._ahead += piece
        if len(self._ahead) > _LONGEST_VALUE + PIECE:
            raise Unusual("a value is very long")
        return bool(piece)

    def peek(self) -> bytes:
        """The next byte that is no space; nothing at the end."""
        while True:
            self._ahead = self._ahead.lstrip(_SPACE)
            if self._ahead or not self._more():
                return self._ahead[:1]

    def one_of(self, choices: bytes) -> bytes:
        """Step over the next byte, which has to be one of these."""
        found = self.peek()
        if not found or found not in choices:
            raise Unusual("a comma or a bracket is missing")
        self._ahead = self._ahead[1:]
        return found

    def expect(self, byte: bytes) -> None:
        """Step over this byte."""
        self.one_of(byte)

    def expect_end(self) -> None:
        """Look that nothing but spaces follows."""
        if self.peek():
            raise Unusual("something follows the end")

    def key(self) -> str:
        """Step over a key and its colon."""
        self.peek()
        while not (match := _KEY.match(self._ahead)) or match.end() == len(self._ahead):
            if len(self._ahead) > 2 * PIECE or not self._more():
                raise Unusual("a key is missing, or has signs in it that are written in another way")
        self._ahead = self._ahead[match.end() :]
        return _decoded(match[1])

    def drop_value(self) -> None:
        """Step over a value of any kind."""
        while True:
            end = _end_of_value(self._ahead)
            if end is not None and end < len(self._ahead):  # a number might go on behind what is in memory
                _decoded(self._ahead[:end])
                self._ahead = self._ahead[end:]
                return
            if not self._more(max(PIECE, len(self._ahead))):
                raise Unusual("a value has no end")

    def objects(self) -> tuple[list, bool]:
        """Some elements of a list, one or more, and whether these are the last and its bracket was stepped over.

        What is in memory is cut behind a closing brace. A cut within a text or an object leaves quotes or braces that
        are not closed, so that what parses is whole.
        """
        while True:
            if len(self._ahead) < PIECE:
                self._more(PIECE)
            cut = len(self._ahead)
            for attempt in range(_TRIES):
                cut = self._ahead.rfind(b"}", 0, cut)
                if cut < 0:
                    break
                if (found := _parsed(b"[" + self._ahead[: cut + 1] + b"]")) is not None:
                    self._ahead = self._ahead[cut + 1 :]
                    return found, False
                if attempt == 0 and (end := _end_of_value(b"[" + self._ahead)) is not None:
                    found = _parsed(b"[" + self._ahead[: end - 1])
                    self._ahead = self._ahead[end - 1 :]
                    if found is None:
                        raise Unusual("a text is no UTF-8")
                    return found, True
            if not self._more(max(PIECE, len(self._ahead))):
                raise Unusual("a list has no end")


def _parsed(piece: bytes) -> list | None:
    """What JSON says; None where it is not whole."""
    try:
        return json.loads(_decoded(piece))
    except (ValueError, RecursionError):
        return None


def _end_of_value(piece: bytes) -> int | None:
    """Where the value at the beginning ends; None where it does not. A byte counts as a sign, whatever the text is."""
    try:
        return json.JSONDecoder().raw_decode(piece.decode("latin-1"))[1]
    except (ValueError, RecursionError):
        return None


def _decoded(piece: bytes) -> str:
    """Bytes as text, as `json.loads` reads them."""
    try:
        return piece.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError as error:
        raise Unusual("it is no UTF-8") from error

"""One request for a file or a range of it, and what an answer means."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import requests
import urllib3

TIMEOUT = (15, 60)
"""Seconds to connect, and seconds without a byte after which a connection counts as dead."""

CHUNK = 1 << 16  # bytes read at a time; as much is lost when a connection breaks off
_TRY_AGAIN = {408, 425, 429, 500, 502, 503, 504}
_LONGEST_WAIT = 120.0  # seconds that a server may ask us to wait
_NO_ADDRESS = (
    requests.exceptions.InvalidURL,
    requests.exceptions.MissingSchema,
    requests.exceptions.InvalidSchema,
)


class Trouble(Exception):
    """Something that may pass: asking again can help. `wait` is how many seconds the server asks for."""

    def __init__(self, reason: str, wait: float = 0.0):
        super().__init__(reason)
        self.wait = wait


class Changed(Trouble):
    """The file on the server is not the one any more whose beginning is here."""


class Unfit(Exception):
    """This source does not have the file: asking it again does not help, another may."""


class NoRanges(Exception):
    """The server cannot send a part of the file in a form that can be used."""


@dataclass(frozen=True)
class Identity:
    """What tells one state of a file on a server from the next.

    Attributes:
        url: as it was asked for, before redirects.
        size: bytes of the whole file; None where the server does not say.
        etag, last_modified: as the server gives them.
    """

    url: str
    size: int | None = None
    etag: str | None = None
    last_modified: str | None = None

    @property
    def validator(self) -> str | None:
        """What If-Range takes: a strong ETag, or else a date (RFC 9110, section 13.1.5)."""
        strong = self.etag and not self.etag.startswith("W/")
        return self.etag if strong else self.last_modified

    def is_same_file(self, other: Identity) -> bool:
        """Whether nothing says that the two differ."""
        marks = (self.size, other.size), (self.etag, other.etag), (self.last_modified, other.last_modified)
        return all(mine == theirs for mine, theirs in marks if mine is not None and theirs is not None)


@dataclass(frozen=True)
class Reply:
    """A server's answer, its body not yet read.

    Attributes:
        response: of requests.
        identity: of the file.
        whole: the body is the file from its first byte to its last, whatever range was asked for.
    """

    response: requests.Response
    identity: Identity
    whole: bool

    def chunks(self) -> Iterator[bytes]:
        """The body.

        Raises:
            Trouble: if the connection breaks off, or is silent for too long.
        """
        with self.response, _explained():
            yield from self.response.iter_content(CHUNK)


def ask(session: requests.Session, identity: Identity, span: tuple[int, int] | None) -> Reply:
    """Ask for the bytes `span` = (start, stop) of a file, or None for the whole; the file must still be `identity`.

    Raises:
        Trouble, Changed, Unfit, NoRanges: see there.
    """
    headers = {"Accept-Encoding": "identity"}  # compressed on the way, bytes could not be counted
    if span:
        headers["Range"] = f"bytes={span[0]}-{span[1] - 1}"
        if identity.validator:
            headers["If-Range"] = identity.validator
    with _explained():
        response = session.get(identity.url, headers=headers, stream=True, timeout=TIMEOUT)
    try:
        return _understand(response, identity.url, span)
    except BaseException:
        response.close()
        raise


def _understand(response: requests.Response, url: str, span: tuple[int, int] | None) -> Reply:
    status, headers = response.status_code, response.headers
    encoded = headers.get("Content-Encoding", "identity").lower() not in ("", "identity")
    etag, last_modified = headers.get("ETag"), headers.get("Last-Modified")
    if status == 200:
        length = headers.get("Content-Length", "")
        size = int(length) if length.isdecimal() and not encoded else None
        return Reply(response, Identity(url, size, etag, last_modified), True)
    if status == 206 and span:
        found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", headers.get("Content-Range", ""))
        if encoded or not found or int(found[1]) != span[0]:
            raise NoRanges
        return Reply(response, Identity(url, int(found[3]), etag, last_modified), False)
    if status == 416 and span:
        if span[0] and headers.get("Content-Range") == f"bytes */{span[0]}":  # nothing lacks
            return Reply(response, Identity(url, span[0], etag, last_modified), False)
        raise Changed("the file on the server is another one now") if span[0] else NoRanges
    if status in _TRY_AGAIN:
        raise Trouble(f"the server answers {status} {response.reason}", _wait(headers.get("Retry-After")))
    raise Unfit(f"the server answers {status} {response.reason}")


def _wait(retry_after: str | None) -> float:
    """The seconds of a Retry-After header, which holds a number or a date."""
    try:
        seconds = urllib3.Retry().parse_retry_after(retry_after) if retry_after else 0.0
    except urllib3.exceptions.InvalidHeader:
        return 0.0
    return min(seconds, _LONGEST_WAIT)


@contextmanager
def _explained() -> Iterator[None]:
    """Turn the errors of requests and urllib3 into `Trouble` or `Unfit`, in words."""
    try:
        yield
    except requests.TooManyRedirects as error:
        raise Unfit("it redirects in circles") from error
    except _NO_ADDRESS as error:
        raise Unfit("this is no address of a file on the web") from error
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        raise Trouble(_reason(error)) from error


def _reason(error: Exception) -> str:
    """A few words for people; the texts of the libraries below are long and technical."""
    if isinstance(error, requests.exceptions.SSLError):
        return "the certificate of the server is not accepted (is the clock of this computer right?)"
    if isinstance(error, requests.Timeout) or "Read timed out" in str(error):
        return "the server does not answer in time"
    if isinstance(error, requests.exceptions.ChunkedEncodingError) or "IncompleteRead" in str(error):
        return "the connection breaks off"
    return "there is no connection to the server (offline?), or it breaks off"

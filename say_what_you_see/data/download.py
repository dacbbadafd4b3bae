"""Downloads a file: resumed where it stopped, checked on the way, under its final name only once it is complete."""

import os
import re
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import filelock
import requests
import urllib3

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import check_is_no_folder, check_space, write_errors_explained
from say_what_you_see.core.text import without_password
from say_what_you_see.data.partial_file import PartialFile, Version

ATTEMPTS = 4
"""How many times in a row one source is tried without receiving another byte."""

BACKOFF = 1.0
"""Seconds to wait before the second of these attempts; each further wait is twice as long as the last."""

TIMEOUT = (15, 60)
"""Seconds to connect, and seconds without a byte after which a connection counts as dead."""

CHUNK = 1 << 18
"""Bytes read at a time."""

LARGEST_UNSTATED = 2 * 1024**3
"""A download whose size the course does not state is given up after this many bytes, whatever the server says."""

_LONGEST_WAIT = 120  # seconds that a server may ask us to wait
_TRY_AGAIN = (408, 425, 429, 500, 502, 503, 504)
_PAGE_STARTS = (b"<!doctype html", b"<html")


class SourceFailed(Exception):
    """A source does not have the file: another may have it, but this one need not be asked again."""


class TransferBroken(Exception):
    """A failure that may pass: trying again can help. `wait` is how many seconds the server asks us to wait."""

    def __init__(self, reason: str, wait: float = 0.0):
        super().__init__(reason)
        self.wait = wait


def download(
    url: str,
    path: str | Path,
    *,
    bytes: int | None = None,
    checksum: str | None = None,
    mirrors: Sequence[str] = (),
    by_hand: str = "",
) -> Path:
    """Download a file unless it is already there, resuming an interrupted download.

    Args:
        url: http or https.
        path: the final name; it appears only once the file is complete.
        bytes: the size that the file must have.
        checksum: 'sha256:…' or 'md5:…', hexadecimal; checked during the download.
        mirrors: other addresses of the same file, tried in turn.
        by_hand: advice for when the download fails; "" suggests getting the file some other way.

    Raises:
        CourseError: if the file is unavailable or not the right one; says how to get it by hand.
    """
    path = Path(path)
    check_is_no_folder(path)
    if not path.exists():
        with write_errors_explained(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with _one_process(path):
                if not path.exists():
                    _fetch([url, *mirrors], path, bytes, checksum, by_hand)
    size = path.stat().st_size
    if bytes not in (None, size):
        raise CourseError(
            f"{path} has {size:,} bytes instead of {bytes:,}. Remove it and run this again, or get a complete copy."
        )
    return path


@contextmanager
def _one_process(path: Path) -> Iterator[None]:
    """Let only one of several processes fetch a file; the system frees the lock however the process ends."""
    lock = filelock.FileLock(path.with_name(f".{path.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        print(f"Another process is downloading {path.name}; waiting for it.", file=sys.stderr)
        lock.acquire()
    try:
        yield
    finally:
        if path.exists():  # whoever waits has nothing left to do; until then the lock file must stay
            with suppress(OSError):  # Windows does not remove open files
                os.unlink(lock.lock_file)
        lock.release()


def _fetch(sources: Sequence[str], path: Path, size: int | None, checksum: str | None, by_hand: str) -> None:
    """Fetch the file from the first source that has it; each source resumes where the last one stopped."""
    part = PartialFile(path, checksum.partition(":")[0] if checksum else "sha256")
    failures: dict[str, Exception] = {}
    with requests.Session() as session:
        for url in dict.fromkeys(sources):
            try:
                return _fetch_from(session, url, part, size, checksum)
            except (SourceFailed, TransferBroken) as error:
                failures[url] = error
    if not part.n_bytes:
        part.discard()
    reasons = "; ".join(f"{url}: {error}" for url, error in failures.items())
    may_pass = any(isinstance(error, TransferBroken) for error in failures.values())
    again = "Check the connection and run this again: it goes on where it stopped. " if may_pass else ""
    by_other_means = (
        f"get it some other way, from {sources[0]}, and save it as {path}: the same command finds it there."
    )
    raise CourseError(f"Cannot download {path.name} ({reasons}). {by_hand or f'{again}You can also {by_other_means}'}")


def _fetch_from(session: requests.Session, url: str, part: PartialFile, size: int | None, checksum: str | None) -> None:
    """Fetch from one source, trying again as long as more bytes come, up to `ATTEMPTS` times in a row without any."""
    most, attempts = part.n_bytes, 0  # a server that keeps starting over makes no progress
    while True:
        try:
            if part.n_bytes != part.version.size:
                with _network_errors_explained():
                    _transfer(session, url, part, size, checksum is not None)
            return _accept(part, size, checksum)
        except TransferBroken as error:
            attempts = 1 if part.n_bytes > most else attempts + 1
            most = max(most, part.n_bytes)
            if attempts >= ATTEMPTS:
                raise
            time.sleep(max(error.wait, BACKOFF * 2 ** (attempts - 1)))


def _transfer(session: requests.Session, url: str, part: PartialFile, size: int | None, has_checksum: bool) -> None:
    """Request the missing bytes and append them to those already here."""
    headers = {"Accept-Encoding": "identity"}
    known, source = part.version, without_password(url)  # the address goes into a note
    if part.n_bytes and known.url == source and known.validator:
        headers |= {"Range": f"bytes={part.n_bytes}-", "If-Range": known.validator}
    elif part.n_bytes and has_checksum:  # the checksum will tell whether the bytes fit together
        headers["Range"] = f"bytes={part.n_bytes}-"
    with session.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
        version = _understand(response, source, part)
        if None not in (size, version.size) and version.size != size:
            raise SourceFailed(f"its file has {version.size:,} bytes instead of {size:,}")
        limit = LARGEST_UNSTATED if size is None else size
        if (version.size or 0) > limit:
            raise SourceFailed(f"its file has {version.size:,} bytes, more than the {limit:,} allowed here")
        check_space(part.final, (version.size or size or 0) - (part.n_bytes if response.status_code == 206 else 0))
        if response.status_code == 200:
            part.start(version)
        part.is_mixed |= part.version.url != source
        try:
            part.append(_checked_chunks(response, part, limit))
        except SourceFailed:
            part.discard()
            raise
    if version.size not in (None, part.n_bytes):
        raise TransferBroken("the connection broke off")


def _understand(response: requests.Response, source: str, part: PartialFile) -> Version:
    """The version of the file in a response that starts at its beginning (status 200) or where `part` ends (206)."""
    status, headers = response.status_code, response.headers
    marks = headers.get("ETag"), headers.get("Last-Modified")
    is_encoded = headers.get("Content-Encoding", "identity").lower() not in ("", "identity")
    if status == 200:
        length = headers.get("Content-Length", "")
        return Version(source, int(length) if length.isdecimal() and not is_encoded else None, *marks)
    if status in (206, 416):
        span = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", headers.get("Content-Range", ""))
        if status == 206 and span and int(span[1]) == part.n_bytes and not is_encoded:
            version = Version(source, int(span[2]), *marks)
            same = version.size == part.version.size if part.version.url != source else version == part.version
            if same:
                return version
        part.discard()
        raise TransferBroken("the file on the server has changed, or cannot be sent in parts")
    reason = f"the server answers {status} {response.reason}"
    raise TransferBroken(reason, _seconds(headers.get("Retry-After"))) if status in _TRY_AGAIN else SourceFailed(reason)


def _seconds(retry_after: str | None) -> float:
    """The seconds of a Retry-After header, which holds a number or a date."""
    with suppress(urllib3.exceptions.InvalidHeader):
        return min(urllib3.Retry().parse_retry_after(retry_after), _LONGEST_WAIT) if retry_after else 0.0
    return 0.0


def _checked_chunks(response: requests.Response, part: PartialFile, limit: int) -> Iterator[bytes]:
    """The body; fails if it is too long, or a web page: networks with a login send one instead of any file."""
    for chunk in response.iter_content(CHUNK):
        is_page = part.n_bytes == 0 and chunk[:200].lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(_PAGE_STARTS)
        if is_page and part.final.suffix.lower() not in (".html", ".htm", ".md"):
            raise SourceFailed("it sends a web page instead of the file (the login page of a network, perhaps)")
        if part.n_bytes + len(chunk) > limit:
            raise SourceFailed(f"it sends more than the {limit:,} bytes allowed here")
        yield chunk


def _accept(part: PartialFile, size: int | None, checksum: str | None) -> None:
    """Give a completed download its final name, or discard it if it is the wrong file."""
    wrong = None
    if size not in (None, part.n_bytes):
        wrong = f"its file has {part.n_bytes:,} bytes instead of {size:,}"
    elif checksum and part.digest.hexdigest() != checksum.partition(":")[2].lower():
        wrong = f"its file has the {part.digest.name} checksum {part.digest.hexdigest()} instead of {checksum}"
    if wrong is None:
        return part.finish()
    is_mixed = part.is_mixed
    part.discard()
    raise TransferBroken(wrong) if is_mixed else SourceFailed(wrong)


@contextmanager
def _network_errors_explained() -> Iterator[None]:
    """Turn the long technical errors of requests and urllib3 into a few words."""
    try:
        yield
    except requests.TooManyRedirects as error:
        raise SourceFailed("it redirects in circles") from error
    except ValueError as error:  # InvalidURL, say; or urllib's, for an address that the server redirects to
        raise SourceFailed("this is not the address of a file on the web") from error
    except requests.exceptions.SSLError as error:
        raise TransferBroken("the server's certificate is not accepted (is this computer's clock right?)") from error
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        if isinstance(error, requests.Timeout) or "timed out" in str(error):
            raise TransferBroken("the server does not answer in time") from error
        raise TransferBroken("there is no connection to the server (offline?), or it broke off") from error

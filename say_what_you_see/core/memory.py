"""How the process deals with memory that it no longer needs."""

import ctypes
from contextlib import suppress

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # of glibc's malloc.h


def keep_freed_memory() -> None:
    """Keep large arrays' memory for the next ones, where the C library is glibc; elsewhere nothing changes.

    By default it goes back to the system at once. Every training step asks for the same arrays again, and the
    system fills each page with zeros first.
    """
    with suppress(TypeError, OSError, AttributeError):  # Windows, and C libraries without mallopt
        libc = ctypes.CDLL(None)
        libc.mallopt(_TRIM_THRESHOLD, 2**31 - 1)
        libc.mallopt(_MMAP_MAX, 0)

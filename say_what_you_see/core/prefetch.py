"""A `map` whose threads work a little ahead of the code that uses the results."""

import itertools
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def prefetch(function: Callable[[Item], Result], items: Iterable[Item], ahead: int | None = None) -> Iterator[Result]:
    """Like `map`, but threads compute the next `ahead` results while the caller uses this one."""
    ahead = ahead or min(8, os.cpu_count() or 1)
    items = iter(items)
    pool = ThreadPoolExecutor(ahead)
    try:
        waiting = deque(pool.submit(function, item) for item in itertools.islice(items, ahead))
        while waiting:
            result = waiting.popleft().result()
            waiting.extend(pool.submit(function, item) for item in itertools.islice(items, 1))
            yield result
    finally:
        pool.shutdown(cancel_futures=True)

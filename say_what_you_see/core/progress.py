"""Progress bars that read well in a terminal, in a notebook and in a log file."""

import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from say_what_you_see.core.text import visible

if TYPE_CHECKING:  # captioning one picture should not wait for it
    from tqdm import tqdm


def progress(
    iterable: Iterable[Any] | None = None,
    *,
    total: float | None = None,
    description: str = "",
    unit: str = "it",
    done: int = 0,
) -> "tqdm":
    """Wrap an iterable in a progress bar, or make one that is updated by hand (`with progress(total=9) as bar`).

    The bar is plain text on standard error; COURSE_PROGRESS=off in the environment silences it.

    Args:
        iterable: what to iterate over; None for a bar that is advanced with `update`.
        total: the number of steps, if the iterable has no length.
        description: a few words in front of the bar.
        unit: what a step is; "B" counts bytes and shows them as kB, MB, GB.
        done: how many steps an earlier run has done.
    """
    from tqdm import tqdm

    watched = sys.stderr.isatty() or "ipykernel" in sys.modules
    return tqdm(
        iterable,
        total=total,
        initial=done,
        desc=visible(description) or None,
        unit=unit,
        unit_scale=unit == "B",
        ascii=" =",  # block characters break on some Windows terminals and in some logs
        ncols=100,
        mininterval=0.5 if watched else 15,  # a log keeps every redraw as a line of its own
        disable=os.environ.get("COURSE_PROGRESS") == "off",
    )

"""What a benchmark is made of: stages, the contenders of a stage, and what one repetition did."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import numpy as np

Check = list[float] | str | None


@dataclass(frozen=True)
class Sample:
    """What one repetition did."""

    amount: float = 1.0  # in the stage's unit without "per second": captions, steps, images
    # what all contenders must agree on: numbers such as a loss curve, or a text such as a caption; or a function that
    # finds it once the time has been taken
    check: Check | Callable[[], Check] = None
    extra: Mapping[str, float] = field(default_factory=dict)  # worth showing, by name with unit: "peak memory (MB)"
    seconds: float | None = None  # how long the work took, if the call goes on after it

    def known(self) -> Check:
        """The check itself."""
        return self.check() if callable(self.check) else self.check


Repetition = Callable[[], Sample]
"""Does all of the work once; the caller takes the time."""


@dataclass(frozen=True)
class Contender:
    """One way of doing the work of a stage, in a process of its own with the variables of `environ`."""

    key: str
    title: str
    function: str  # "module:function"; takes the work and the options, gets ready, and returns a `Repetition`
    # "course"; "backend", the course's code on another backend; "peer", what people would use instead; "limit", what
    # the hardware allows, without the rest of the work
    role: str = "course"
    options: Mapping[str, Any] = field(default_factory=dict)
    needs: tuple[str, ...] = ()  # packages that it imports, but the course does not need
    environ: Mapping[str, str] = field(default_factory=dict)
    fresh: bool = False  # each repetition has a new process

    def missing(self) -> list[str]:
        """The packages that are not installed here."""
        return [name for name in self.needs if find_spec(name) is None]

    def prepare(self, work: dict) -> Repetition:
        """The function that does one repetition of the work."""
        return resolve_name(self.function)(work, **self.options)


def on_other_backends(function: str, **options: Any) -> tuple[Contender, ...]:
    """The same function with Keras on JAX and on PyTorch."""
    return tuple(
        Contender(f"keras_{key}", f"the same on {title}", function, "backend", options, (key,), {"KERAS_BACKEND": key})
        for key, title in (("jax", "JAX"), ("torch", "PyTorch"))
    )


@dataclass(frozen=True)
class Stage:
    """A piece of work that several contenders do."""

    name: str
    title: str
    unit: str  # of the figure: "captions/s" or the like, or "s" where a repetition's duration is the figure
    # writes what all contenders share into a folder, and returns what they need to know; the second argument asks for
    # a few seconds of work
    make_work: Callable[[Path, bool], dict]
    contenders: tuple[Contender, ...]  # the course's own first
    agreement: float = 0.0  # how far apart the numbers of two contenders' checks may be, relative to the larger one


def agree(first: Check, second: Check, agreement: float) -> bool:
    """Whether two checks agree; one that is missing agrees with any."""
    if first is None or second is None or first == second:
        return True
    if isinstance(first, str) or isinstance(second, str) or len(first) != len(second):
        return False
    return np.allclose(first, second, rtol=agreement, atol=1e-12)

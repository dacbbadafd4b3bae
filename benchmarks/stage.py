"""What a benchmark is made of: stages, the contenders of a stage, and what one repetition measured."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

Check = list[float] | str | None


@dataclass(frozen=True)
class Sample:
    """What one repetition measured.

    Attributes:
        amount: how much was done, in the stage's unit without "per second": captions, steps, images.
        seconds: how long it took. Where the unit is no rate, `amount` holds the figure and this is 1.
        check: what all contenders must agree on: numbers such as a loss curve, or a text such as a caption.
        extra: other figures worth showing, by name with unit, as in {"peak memory (MB)": 410}.
    """

    amount: float
    seconds: float = 1.0
    check: Check = None
    extra: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Contender:
    """One way of doing the work of a stage.

    Attributes:
        key: a short name, for the record.
        title: what readers see.
        function: "module:function"; takes the work and the options, and returns a function that does one repetition
            and returns a `Sample`. It runs in a process of its own.
        role: "course"; "backend", the course's code on another one; "peer", what people would use instead;
            "limit", what the hardware allows, without the rest of the work.
        options: further arguments of the function.
        needs: packages that it imports and the course does not need.
        environ: environment variables of its process.
        fresh: each repetition has a new process.
    """

    key: str
    title: str
    function: str
    role: str = "course"
    options: Mapping[str, Any] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    environ: Mapping[str, str] = field(default_factory=dict)
    fresh: bool = False

    def missing(self) -> list[str]:
        """The packages that are not installed here."""
        return [name for name in self.needs if find_spec(name) is None]

    def prepare(self, work: dict) -> Callable[[], Sample]:
        """The function that does one repetition of the work."""
        module, name = self.function.split(":")
        return getattr(import_module(module), name)(work, **self.options)


@dataclass(frozen=True)
class Stage:
    """A piece of work that several contenders do.

    Attributes:
        name: as on the command line.
        title: what readers see.
        unit: of the figure, as in "captions/s", "s", "MB".
        make_work: writes what all contenders share into a folder and returns what they need to know, as JSON;
            its second argument asks for work of a few seconds.
        contenders: the course's own first.
        agreement: how far apart the numbers of two contenders' checks may be, relative to the larger one.
        lower_is_better: whether the figure is a duration or a size.
    """

    name: str
    title: str
    unit: str
    make_work: Callable[[Path, bool], dict]
    contenders: tuple[Contender, ...]
    agreement: float = 0.0
    lower_is_better: bool = False

    def contender(self, key: str) -> Contender:
        """The contender of a key."""
        return next(contender for contender in self.contenders if contender.key == key)


def agree(first: Check, second: Check, agreement: float) -> bool:
    """Whether two checks say the same; one that a contender cannot give counts as agreement."""
    if first is None or second is None or first == second:
        return True
    if isinstance(first, str) or isinstance(second, str) or len(first) != len(second):
        return False
    return all(math.isclose(a, b, rel_tol=agreement, abs_tol=1e-12) for a, b in zip(first, second, strict=True))

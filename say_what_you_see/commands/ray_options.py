"""How `embed` and `caption` read the options that go with `--engine ray`."""

import argparse
from dataclasses import fields

from say_what_you_see.commands.options import given, refuse_options
from say_what_you_see.distributed.engine import RayOptions

_NAMES = [field.name for field in fields(RayOptions)]


def ray_options(options: argparse.Namespace) -> RayOptions:
    """The options for Ray; those that were not given keep their defaults."""
    return RayOptions(**given({name: getattr(options, name) for name in _NAMES}))


def refuse_without_ray(options: argparse.Namespace) -> None:
    """Refuse options that are only for Ray."""
    refuse_options(options, [*_NAMES, "output", "input"], "is for --engine ray. Add --engine ray, or leave it out.")

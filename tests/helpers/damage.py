"""Damage to files, by chance: to bytes, to values in JSON, and to one member of a zip that stays sound around it."""

import contextlib
import copy
import io
import json
import zipfile
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

_ODD_NUMBERS = (0, 1, *(2**bits + change for bits in (7, 8, 15, 16, 31, 32, 63) for change in (-1, 0)), 2**64 - 1)
_ODD_VALUES = (
    None, True, 0, -1, 10**30, 0.5, float("nan"), float("inf"), "", "a", "x" * 5000, "\ud800", "\x1b[2J", "../..", [],
    {}, [[]], {"": None},
)  # fmt: skip


def damaged(seeds: Sequence[bytes], rng: Random, is_json: bool = False, member: str = "") -> bytes:
    """One of some sound files with some damage.

    Args:
        is_json: whether values can be changed in place of bytes.
        member: for zips, a member that is damaged while the zip around it stays sound; "" for none.
    """
    data, other = rng.choice(seeds), rng.choice(seeds)
    if not member or rng.random() > 0.6:
        return _damage(data, other, is_json and not member, rng)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    members[member] = _damage(members[member], members[member], is_json, rng)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def _damage(data: bytes, other: bytes, is_json: bool, rng: Random) -> bytes:
    if is_json and rng.random() < 0.6:
        with contextlib.suppress(ValueError, RecursionError):
            return _other_values(json.loads(data), rng)
    for _ in range(rng.randint(1, 4)):
        data = _mutated(bytearray(data), other, rng)
    return bytes(data)


def _other_values(data: Any, rng: Random) -> bytes:
    """JSON in which some values are odd ones, or those of another place, or missing."""
    for _ in range(rng.randint(1, 3)):
        if places := list(_places(data)):
            (container, key), (source, name) = rng.choice(places), rng.choice(places)
            container[key] = rng.choice([rng.choice(_ODD_VALUES), copy.deepcopy(source[name])])
            if rng.random() < 0.25:
                del container[key]
    return json.dumps(data).encode()


def _places(data: Any) -> Iterator[tuple[Any, Any]]:
    """Every container in JSON with every key in it."""
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in list(items):
        yield data, key
        yield from _places(value)


def _mutated(data: bytearray, other: bytes, rng: Random) -> bytearray:
    """The bytes with one change."""
    match rng.choice(("a bit", "a bit", "a number", "a number", "cut", "repeated", "spliced")):
        case "a bit" if data:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        case "a number":  # where a length may be
            size = rng.choice([1, 2, 4, 8])
            start = rng.randrange(max(1, len(data) - size + 1))
            number = rng.choice(_ODD_NUMBERS) % 256**size
            data[start : start + size] = number.to_bytes(size, rng.choice(["little", "big"]))
        case "cut":
            return data[: rng.randint(0, len(data))]
        case "repeated":  # or left out
            start = rng.randint(0, len(data))
            end = start + rng.randint(1, 64)
            return data[:start] + data[start:end] * rng.choice([0, 2, 20]) + data[end:]
        case "spliced":
            return data[: rng.randint(0, len(data))] + other[rng.randint(0, len(other)) :]
    return data

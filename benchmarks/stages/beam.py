"""Beam search, decoder only: features in, the best of three beams out, 256 pictures together."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.decoder_work import BEAMS, MAX_LEN, make_work
from benchmarks.peers.decoding import read_work, search_all
from benchmarks.stage import Goal, Sample, Stage
from benchmarks.stages.greedy import PEERS, contenders, course_search, exported_search
from say_what_you_see.decoding.samplers import BeamSearch

_HERE, _HOW = "benchmarks.stages.beam", BeamSearch(BEAMS, max_len=MAX_LEN)


def course_many(work: dict) -> Callable[[], Sample]:
    """The course."""
    return search_all(course_search(work, _HOW), read_work(work).features)


def exported_many(work: dict) -> Callable[[], Sample]:
    """An exported captioner."""
    return search_all(exported_search(work, _HOW), read_work(work).features)


def plain_many(work: dict) -> Callable[[], Sample]:
    """The course with steps by Keras."""
    return search_all(course_search(work, _HOW, plain=True), read_work(work).features)


STAGES = (
    Stage(
        name="beam", title=f"Beam search, k = {BEAMS}, decoder only, 256 pictures", unit="captions/s",
        make_work=make_work, contenders=contenders(_HERE, "many"),
        goals=(Goal("course", 1.0, "ahead of the best peer", tuple(PEERS)),), agreement=1e-3,
    ),
)  # fmt: skip

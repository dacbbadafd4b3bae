"""Captions from their zip to a vocabulary and padded matrices: how fast, and in how much memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from benchmarks.machine import anonymous_mb, peak_mb
from benchmarks.made_captions import MEMBER, make_captions, write_captions
from benchmarks.stage import Contender, Sample, Stage
from say_what_you_see.core.pickles import save_pickle

MIN_COUNT = 5


def make_work(folder: Path, small: bool) -> dict:
    """As many captions as COCO has for training, small: some thousand; and some to warm up with."""
    sizes = {"warm": (60, 300), "whole": (1_500, 7_500) if small else ()}
    work = {}
    for name, size in sizes.items():
        made, part = make_captions(*size), folder / name
        part.mkdir(exist_ok=True)
        write_captions(made, part / "captions.zip")
        save_pickle(made.names, part / "names.pickle")
        work[name] = {"folder": str(part), "member": MEMBER, "captions": len(made.lengths)}
    return work


def prepare(work: dict, form: str) -> Callable[[], Sample]:
    """Repetitions of one form, "course" or "lists": how fast, and how much memory above that of the imports."""
    forms = {"course": (_prepare_course, _check_of_course), "lists": (_prepare_lists, _check_of_lists)}
    make, check = forms[form]
    run = make()
    run(work["warm"])  # so that all code is in memory

    def repeat() -> Sample:
        peak, kept, begun = peak_mb(), anonymous_mb(), time.perf_counter()
        made = run(work["whole"])
        seconds, memory = time.perf_counter() - begun, {"memory above the imports (MB)": peak_mb() - peak}
        if kept is not None:
            memory["kept afterwards (MB)"] = anonymous_mb() - kept
        del made
        return Sample(work["whole"]["captions"], seconds, check(work["whole"]), memory)

    return repeat


def _prepare_course() -> Callable[[dict], None]:
    from say_what_you_see.core.files import write_json
    from say_what_you_see.core.pickles import read_pickle
    from say_what_you_see.language.fast_captions import index_captions, write_caption_arrays

    def run(part: dict) -> None:
        folder = Path(part["folder"])
        names = read_pickle(folder / "names.pickle")
        vocab, captions = index_captions(names, folder / "captions.zip", part["member"], min_count=MIN_COUNT)
        write_json(vocab, folder / "vocabulary.json")
        write_caption_arrays(captions, folder / "captions.npz", folder / "vocabulary.json")

    return run


def _prepare_lists() -> Callable[[dict], tuple]:
    from benchmarks.peers import list_of_lists as lists

    def run(part: dict) -> tuple:
        folder = Path(part["folder"])
        names = lists.load_pickle(folder / "names.pickle")
        captions = lists.read_captions(names, folder / "captions.zip", part["member"])
        vocab = lists.generate_vocabulary(captions, MIN_COUNT)
        indexed = lists.to_indices(captions, vocab)
        lists.save_pickle(vocab, folder / "vocabulary.pickle")
        lists.save_pickle(indexed, folder / "indexed.pickle")
        for _ in lists.matrices(indexed, vocab[lists.PAD]):  # what each epoch of training asks for
            pass
        return vocab, indexed

    return run


def _check_of_course(part: dict) -> list[float]:
    from say_what_you_see.core.files import read_arrays, read_json
    from say_what_you_see.language.captions import PAD

    folder = Path(part["folder"])
    vocab, (matrix,) = read_json(folder / "vocabulary.json"), read_arrays(folder / "captions.npz", ("matrix",))
    return _check(len(vocab), (matrix[row : row + 64] for row in range(0, len(matrix), 64)), vocab[PAD])


def _check_of_lists(part: dict) -> list[float]:
    from benchmarks.peers import list_of_lists as lists

    folder = Path(part["folder"])
    vocab, indexed = (lists.load_pickle(folder / f"{name}.pickle") for name in ("vocabulary", "indexed"))
    return _check(len(vocab), lists.matrices(indexed, vocab[lists.PAD]), vocab[lists.PAD])


def _check(words: int, matrices: Iterable[np.ndarray], pad: int) -> list[float]:
    """Figures that change with every word of every caption: its index, its place, its batch."""
    captions = total = 0
    for number, matrix in enumerate(matrices):
        captions += len(matrix)
        weighted = (
            (matrix.astype(np.int64) - pad) * np.arange(1, matrix.shape[1] + 1) * np.arange(1, len(matrix) + 1)[:, None]
        )
        total += int(weighted.sum()) * (number % 97 + 1)
    return [float(words), float(captions), float(total)]


_HERE = "benchmarks.stages.preparing:prepare"
STAGES = (
    Stage(
        name="preparing",
        title="Preparing 414,113 captions",
        unit="captions/s",
        make_work=make_work,
        contenders=(
            Contender(
                "course", "the course: one array, a piece at a time", _HERE, options={"form": "course"}, fresh=True
            ),
            Contender(
                "lists",
                "lists of lists, Counter, a matrix for each batch",
                _HERE,
                "peer",
                {"form": "lists"},
                fresh=True,
            ),
        ),
    ),
)

"""From a zip of captions to a vocabulary and padded matrices: how fast, and in how much memory."""

import pickle
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path

import numpy as np

from benchmarks.machine import peak_mb
from benchmarks.made_captions import CAPTIONS, MEMBER, PICTURES, write_captions
from benchmarks.stage import Check, Contender, Repetition, Sample, Stage
from say_what_you_see.core.pickles import read_pickle, save_pickle

MIN_COUNT = 5


def make_work(folder: Path, small: bool) -> dict:
    """As many captions as COCO has for training (small: some thousands), and some to warm up with."""
    sizes = {"warm": (60, 300), "whole": (1_500, 7_500) if small else (PICTURES, CAPTIONS)}
    for name, size in sizes.items():
        (folder / name).mkdir(exist_ok=True)
        save_pickle(write_captions(folder / name / "captions.zip", *size), folder / name / "names.pickle")
    return {"folder": str(folder), "captions": sizes["whole"][1]}


def _repetition(work: dict, run: Callable[[Path], object], check: Callable[[Path], Check]) -> Repetition:
    """Repetitions of a function on the files of a folder, with their memory beyond that of the imports."""
    run(Path(work["folder"], "warm"))  # so that all code is loaded

    def repeat() -> Sample:
        before, folder = peak_mb(), Path(work["folder"], "whole")
        made = run(folder)
        memory = {"memory above the imports (MB)": peak_mb() - before}
        del made
        return Sample(work["captions"], lambda: check(folder), memory)

    return repeat


def course(work: dict) -> Repetition:
    """The way the course prepares captions."""
    from say_what_you_see.core.files import read_arrays, read_json, write_json
    from say_what_you_see.language.captions import PAD
    from say_what_you_see.language.fast_captions import index_captions, write_caption_arrays

    def run(folder: Path) -> None:
        names = read_pickle(folder / "names.pickle")
        vocab, captions = index_captions(names, folder / "captions.zip", MEMBER, min_count=MIN_COUNT)
        write_json(vocab, folder / "vocabulary.json")
        write_caption_arrays(captions, folder / "captions.npz", folder / "vocabulary.json")

    def check(folder: Path) -> Check:
        vocab, (matrix,) = read_json(folder / "vocabulary.json"), read_arrays(folder / "captions.npz", ("matrix",))
        return _check(len(vocab), (matrix[row : row + 64] for row in range(0, len(matrix), 64)), vocab[PAD])

    return _repetition(work, run, check)


def list_of_lists(work: dict) -> Repetition:
    """With lists of lists, pickled, as in the lessons and most courses."""
    from say_what_you_see.language import captions as lessons

    def matrices(indexed: list[list[list[int]]], pad: int) -> Iterator[np.ndarray]:
        flat = list(chain.from_iterable(indexed))
        return (lessons.batch_captions_to_matrix(flat[row : row + 64], pad) for row in range(0, len(flat), 64))

    def run(folder: Path) -> tuple:
        captions = lessons.get_captions_for_fns(read_pickle(folder / "names.pickle"), folder / "captions.zip", MEMBER)
        vocab = lessons.generate_vocabulary(captions, MIN_COUNT)
        indexed = lessons.caption_tokens_to_indices(captions, vocab)
        (folder / "indexed.pickle").write_bytes(pickle.dumps((vocab, indexed)))
        for _ in matrices(indexed, vocab[lessons.PAD]):  # what each training epoch needs
            pass
        return vocab, indexed

    def check(folder: Path) -> Check:
        vocab, indexed = pickle.loads((folder / "indexed.pickle").read_bytes())
        return _check(len(vocab), matrices(indexed, vocab[lessons.PAD]), vocab[lessons.PAD])

    return _repetition(work, run, check)


def _check(words: int, matrices: Iterable[np.ndarray], pad: int) -> list[float]:
    """Figures that depend on every word of every caption: its index, its place, its batch."""
    captions = total = 0
    for number, matrix in enumerate(matrices):
        captions += len(matrix)
        rows, columns = (np.arange(1, size + 1) for size in matrix.shape)
        total += int(rows @ (matrix.astype(np.int64) - pad) @ columns) * (number % 97 + 1)
    return [float(words), float(captions), float(total)]


STAGES = (
    Stage("preparing", "Preparing 414,113 captions", "captions/s", make_work, (
        Contender("course", "the course: one array, a piece at a time", f"{__name__}:course", fresh=True),
        Contender("lists", "lists of lists, Counter, a matrix for each batch", f"{__name__}:list_of_lists", "peer",
                  fresh=True),
    )),
)  # fmt: skip

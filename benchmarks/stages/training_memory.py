"""How much memory training takes beyond what the framework and the model take: that of the data."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.machine import anonymous_mb, file_mb, peak_mb
from benchmarks.made_captions import MEMBER, make_captions, write_captions
from benchmarks.stage import Contender, Sample, Stage
from say_what_you_see.core.files import write_json

BATCH, LONGEST, FEW = 64, 20, 64
_ROWS = 2_000  # embeddings that are made at a time


def make_work(folder: Path, small: bool) -> dict:
    """Embeddings and captions of as many pictures as COCO has for training, in the files of either way."""
    made = make_captions(2_000, 10_000) if small else make_captions()
    features = 512 if small else 2_048
    _write_embeddings(folder, len(made.names), features)
    words = _write_indexed(folder, made)
    return {"folder": str(folder), "features": features, "words": words, "steps": 20 if small else 100}


def _write_embeddings(folder: Path, pictures: int, features: int) -> None:
    """Numbers of the size that an encoder gives, as `.npy` and pickled."""
    rng = np.random.default_rng(0)
    embeds = np.lib.format.open_memmap(folder / "embeds.npy", "w+", "float32", (pictures, features))
    for first in range(0, pictures, _ROWS):
        rows = embeds[first : first + _ROWS]
        rows[:] = rng.random(rows.shape, "float32")
    with open(folder / "embeds.pickle", "wb") as file:
        pickle.dump(np.asarray(embeds), file, protocol=4)
    del embeds


def _write_indexed(folder: Path, made) -> int:
    """Captions as an array and as pickled lists; returns the number of words in the vocabulary."""
    from say_what_you_see.language.fast_captions import index_captions, write_caption_blocks

    write_captions(made, folder / "captions.zip")
    vocab, captions = index_captions(made.names, folder / "captions.zip", MEMBER)
    write_json(vocab, folder / "vocabulary.json")
    write_caption_blocks(captions, folder / "captions.npz", folder / "vocabulary.json")
    matrix, pad = np.concatenate(list(captions.blocks())), vocab["#PAD#"]
    indexed = [row[:length] for row, length in zip(matrix.tolist(), (matrix != pad).sum(axis=1).tolist(), strict=True)]
    bounds = captions.first.tolist()
    with open(folder / "indexed.pickle", "wb") as file:
        pickle.dump([indexed[a:b] for a, b in zip(bounds, bounds[1:], strict=False)], file, protocol=4)
    return len(vocab)


def course(work: dict) -> Callable[[], Sample]:
    """Embeddings mapped from their file, captions as one array of the smallest integers."""

    def load() -> object:
        from say_what_you_see.core.files import read_array, read_arrays
        from say_what_you_see.language.captions import CaptionArrays
        from say_what_you_see.training.examples import Examples, RandomBatches

        folder = Path(work["folder"])
        captions = CaptionArrays(*read_arrays(folder / "captions.npz", ("matrix", "first")))
        examples = Examples(read_array(folder / "embeds.npy"), captions)
        batches = RandomBatches(examples, _config())
        batches.steps = work["steps"]
        return batches

    return _trained(work, load)


def pickles(work: dict) -> Callable[[], Sample]:
    """Both pickles loaded, captions as lists of lists."""

    def load() -> object:
        from benchmarks.peers.list_of_lists import load_pickle
        from benchmarks.peers.pickled_batches import PickledBatches

        folder = Path(work["folder"])
        embeds, captions = load_pickle(folder / "embeds.pickle"), load_pickle(folder / "indexed.pickle")
        return PickledBatches(embeds, captions, BATCH, LONGEST, _pad(work), work["steps"])

    return _trained(work, load)


def _pad(work: dict) -> int:
    from say_what_you_see.core.files import read_json

    return read_json(Path(work["folder"]) / "vocabulary.json")["#PAD#"]


def _config():
    from say_what_you_see.training.config import TrainingConfig

    return TrainingConfig(epochs=1, batch_size=BATCH, max_len=LONGEST)


def _trained(work: dict, load: Callable[[], object]) -> Callable[[], Sample]:
    """Train on a few pictures first, then on all: what has been added is the data's."""
    from say_what_you_see.core.backend import keras
    from say_what_you_see.models.bottleneck_lstm import build_decoder
    from say_what_you_see.training.loop import compile_decoder

    keras.utils.set_random_seed(0)
    decoder = build_decoder(work["words"], work["features"], dropout=0.0)
    compile_decoder(decoder, _config(), _pad(work), work["steps"])
    few = _few_examples(work)
    decoder.fit(few, verbose=0, shuffle=False)

    def repeat() -> Sample:
        anonymous, file, peak = anonymous_mb(), file_mb(), peak_mb()
        batches = load()
        loss = decoder.fit(batches, verbose=0, shuffle=False).history["loss"][-1]
        if anonymous is None:  # a system that tells peaks only
            return Sample(peak_mb() - peak, 1, [loss])
        extra = {"pages of files (MB)": file_mb() - file, "peak above the start (MB)": peak_mb() - peak}
        return Sample(anonymous_mb() - anonymous, 1, [loss], extra)

    return repeat


def _few_examples(work: dict) -> object:
    """Batches of as many steps from a handful of pictures with captions of full length."""
    from say_what_you_see.language.captions import CaptionArrays
    from say_what_you_see.training.examples import Examples, RandomBatches

    rng = np.random.default_rng(0)
    embeds = rng.random((FEW, work["features"]), "float32")
    captions = CaptionArrays(rng.integers(4, work["words"], (FEW, LONGEST)).astype("uint16"), np.arange(FEW + 1))
    batches = RandomBatches(Examples(embeds, captions), _config())
    batches.steps = work["steps"]
    return batches


_HERE = "benchmarks.stages.training_memory"
STAGES = (
    Stage(
        name="training_memory",
        title="Training with 82,783 embeddings and 414,113 captions: memory above the framework's",
        unit="MB",
        make_work=make_work,
        contenders=(
            Contender("course", "the course: mapped embeddings, one array of captions", f"{_HERE}:course", fresh=True),
            Contender("pickles", "both pickles loaded, lists of lists", f"{_HERE}:pickles", role="peer", fresh=True),
        ),
        agreement=1e-3,
        lower_is_better=True,
    ),
)

"""Linear probes: what can be read off a frozen embedding with nothing but weighted sums?"""

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from say_what_you_see.data.coco_format import DatasetFiles
from say_what_you_see.data.scenes.scene import COLOURS, KINDS, Scene, Thing
from say_what_you_see.data.scenes.truth import read_scene_truths
from say_what_you_see.evaluation.commonest_captions import agreed_words
from say_what_you_see.evaluation.scores import Table, format_table

Embedded = tuple[np.ndarray, Sequence]
"""Embeddings (pictures, features), and for each picture its file name, its captions, or the scene that it shows."""

FACING_KINDS = ("fish", "bird")
"""Things that look to one side: they are drawn facing right or, mirrored, left."""


def probe_kinds(files: DatasetFiles, train: Embedded, val: Embedded) -> str:
    """Ask a linear classifier which kinds of things are in each scene, and which colour each has.

    Returns:
        A line for each question: the share of validation scenes whose answer is right in every part.
    """
    pairs, truth = _pairs(files, files.train_instances, train[1]), _pairs(files, files.val_instances, val[1])
    kinds_right = (_fit_and_predict(train[0], pairs.max(axis=2), val[0]) > 0.5) == truth.max(axis=2)
    colours_right = (_fit_and_predict(train[0], pairs, val[0]) > 0.5) == truth
    shares = {
        "which kinds of things": kinds_right.all(axis=1).mean(),
        "which colour each thing has": colours_right.all(axis=(1, 2)).mean(),
    }
    lines = [f"{name}: all right in {100 * share:.0f} % of the validation scenes" for name, share in shares.items()]
    return "\n".join(lines)


def _pairs(files: DatasetFiles, instances: str | None, fns: Sequence[str]) -> np.ndarray:
    """Which kinds of things each scene has in which colour: bool, (scenes, kinds, colours)."""
    truths = read_scene_truths(files.captions_zip, instances)
    return np.array([[[truths[fn].colours.get(kind) == c for c in COLOURS] for kind in KINDS] for fn in fns])


def _fit_and_predict(features: np.ndarray, targets: np.ndarray, new_features: np.ndarray) -> np.ndarray:
    """Fit a linear map from features (n, features) to targets (n, ...) of 0 and 1, and apply it to new features."""
    flat = targets.reshape(len(targets), -1).astype(float)
    probe = make_pipeline(StandardScaler(), Ridge(alpha=1000.0)).fit(features, flat)
    return probe.predict(new_features).reshape(-1, *targets.shape[1:])


def probe_captions(files: DatasetFiles, train: Embedded, val: Embedded) -> list[str]:
    """What a linear probe alone would say of each validation scene: the things that it finds, with their colours."""
    pairs = _pairs(files, files.train_instances, train[1])
    found = _fit_and_predict(train[0], pairs.max(axis=2), val[0]) > 0.5
    read = _fit_and_predict(train[0], pairs, val[0]).argmax(axis=2)
    return [
        " and ".join(f"a {COLOURS[read[row, i]]} {KINDS[i]}" for i in np.flatnonzero(there))
        for row, there in enumerate(found)
    ]


def probe_words(words: Sequence[str], train: Embedded, val: Embedded) -> Table:
    """Ask a linear classifier for which pictures most writers use a word.

    Returns:
        A line for each word: the share of the validation pictures that have it, which guessing would reach, and its
        share among as many pictures that the probe ranks highest.
    """
    targets, truth = (
        np.array([[word in agreed for word in words] for agreed in map(agreed_words, captions)])
        for _, captions in (train, val)
    )
    scores = _fit_and_predict(np.asarray(train[0]), targets, np.asarray(val[0]))
    rows: list[list[object]] = [["word", "by guessing", "read off the embedding"]]
    for word, given, true in zip(words, scores.T, truth.T, strict=True):
        if true.any():
            chosen = given.argsort()[::-1][: true.sum()]
            rows.append([word, f"{100 * true.mean():.0f} %", f"{100 * true[chosen].mean():.0f} %"])
    return format_table(rows, [14, 13, 24])


@dataclass(frozen=True)
class ProbeQuestion:
    """A question about every thing of a scene."""

    text: str  # the question
    answer: Callable[[Thing], Hashable]  # gives the true answer for a thing
    kinds: tuple[str, ...] = KINDS  # the things that it is asked about


PROBE_QUESTIONS = (
    ProbeQuestion("which colour is it?", lambda thing: thing.colour),
    ProbeQuestion("is it small or large?", lambda thing: thing.size),
    ProbeQuestion("left or right of the middle?", lambda thing: thing.centre[0] < 0.5),
    ProbeQuestion("facing left or right?", lambda thing: thing.flipped, FACING_KINDS),
)
"""The scene encoder was trained to answer the first three. It was never asked the last."""


@dataclass(frozen=True)
class ProbeResult:
    """How a question was answered on new scenes."""

    question: str  # its text
    things: int  # how many things were asked about
    majority_accuracy: float  # the share that is right when the commonest answer is always given
    probe_accuracy: float  # the share that is right when the answer is read off the embedding


def probe_embedding(question: ProbeQuestion, train: Embedded, val: Embedded) -> ProbeResult:
    """Learn to answer a question with a linear probe on training scenes, and answer it on validation scenes."""
    counts = Counter(question.answer(thing) for _, thing in _things(train[1], question))
    answers = sorted(counts, key=repr)
    targets = np.zeros((len(train[1]), len(question.kinds), len(answers)))
    for row, thing in _things(train[1], question):
        targets[row, question.kinds.index(thing.kind), answers.index(question.answer(thing))] = 1
    logits = _fit_and_predict(train[0], targets, val[0])
    majority, things = counts.most_common(1)[0][0], _things(val[1], question)
    truth = [question.answer(thing) for _, thing in things]
    predicted = [answers[logits[row, question.kinds.index(thing.kind)].argmax()] for row, thing in things]
    right = np.mean([a == b for a, b in zip(predicted, truth, strict=True)])
    return ProbeResult(question.text, len(things), float(np.mean([a == majority for a in truth])), float(right))


def _things(scenes: Sequence[Scene], question: ProbeQuestion) -> list[tuple[int, Thing]]:
    """Every thing that a question is asked about, with the number of its scene."""
    return [(row, thing) for row, scene in enumerate(scenes) for thing in scene.things if thing.kind in question.kinds]


def probe_table(results: Sequence[ProbeResult]) -> Table:
    """A line for each question."""
    rows: list[list[object]] = [["", "things", "by guessing", "read off the embedding"]]
    for result in results:
        shares = f"{100 * result.majority_accuracy:.1f} %", f"{100 * result.probe_accuracy:.1f} %"
        rows.append([result.question, result.things, *shares])
    return format_table(rows, [32, 7, 13, 24])


def describe_facing(scene: Scene) -> str:
    """Which way the things of a scene are facing, a line for each that faces left or right; empty if none does."""
    facing = [thing for thing in scene.things if thing.kind in FACING_KINDS]
    return "\n".join(f"the {thing.kind} faces {'left' if thing.flipped else 'right'}" for thing in facing)

"""A linear probe: what can be read off an embedding with nothing but weighted sums?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.linear_model import RidgeClassifier
from sklearn.preprocessing import StandardScaler

from say_what_you_see.data.coco_format import DatasetFiles
from say_what_you_see.data.scenes.scene import COLOURS, KINDS
from say_what_you_see.evaluation.scene_truth import read_scene_truths

EmbeddedPictures = tuple[np.ndarray, Sequence[str]]
"""Embeddings (pictures, features) and the file names of the pictures."""


def probe_kinds(files: DatasetFiles, train: EmbeddedPictures, val: EmbeddedPictures) -> str:
    """Ask a linear classifier which kinds of things are in each scene, and which colour each has.

    Returns:
        A line for each question: the share of validation scenes whose answer is right in every part.
    """
    members = (files.train_instances, files.val_instances)
    truths = [read_scene_truths(files.captions_zip, member) for member in members]
    scaler = StandardScaler().fit(train[0])
    features = [scaler.transform(embeds) for embeds, _ in (train, val)]
    lines = []
    for question, describe in _QUESTIONS.items():
        train_targets, val_targets = (
            np.stack([describe(truth[fn].colours) for fn in fns])
            for truth, (_, fns) in zip(truths, (train, val), strict=True)
        )
        answers = _answer(features[0], train_targets, features[1])
        right = (answers == val_targets).all(axis=1).mean()
        lines.append(f"{question}: all right in {100 * right:.0f} % of the validation scenes")
    return "\n".join(lines)


def _answer(features: np.ndarray, targets: np.ndarray, new_features: np.ndarray) -> np.ndarray:
    """Learn yes-or-no answers, (pictures, answers) of 0 and 1, and give them for new pictures."""
    answers = np.zeros((len(new_features), targets.shape[1]), dtype=int)
    varied = np.ptp(targets, axis=0) > 0  # a classifier needs examples of yes and of no
    probe = RidgeClassifier(alpha=1000.0).fit(features, targets[:, varied])
    answers[:, varied] = probe.predict(new_features)
    return answers


def _kinds_present(colours: dict[str, str]) -> np.ndarray:
    """For each kind 1 where the scene has it, else 0."""
    return np.array([kind in colours for kind in KINDS], dtype=int)


def _pairs_present(colours: dict[str, str]) -> np.ndarray:
    """For each colour-and-kind pair 1 where the scene has it, else 0."""
    return np.array([colours.get(kind) == colour for colour in COLOURS for kind in KINDS], dtype=int)


_QUESTIONS = {"which kinds of things": _kinds_present, "which colour each thing has": _pairs_present}

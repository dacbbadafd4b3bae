"""A linear probe: what can be read off an embedding with nothing but weighted sums?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.linear_model import RidgeClassifier
from sklearn.preprocessing import StandardScaler

from utils.dataset_files import DatasetFiles
from utils.scene_scores import read_scene_truths
from utils.scenes import COLOURS, KINDS

EmbeddedPictures = tuple[np.ndarray, Sequence[str]]
"""Embeddings (pictures, features) and the file names of the pictures."""


def probe_kinds(files: DatasetFiles, train: EmbeddedPictures, val: EmbeddedPictures) -> str:
    """Ask a linear classifier which kinds of things are in each scene, and which colour each has.

    Returns:
        A line for each question: the share of validation scenes whose answer is right in every part.
    """
    truths = read_scene_truths(files.captions_zip, files.train_instances), read_scene_truths(files.captions_zip, files.val_instances)
    scaler = StandardScaler().fit(train[0])
    features = [scaler.transform(side[0]) for side in (train, val)]
    lines = []
    for question, describe in (("which kinds of things", _kinds_present), ("which colour each thing has", _pairs_present)):
        targets = [np.stack([describe(truth[fn].colours) for fn in side[1]]) for truth, side in zip(truths, (train, val), strict=True)]
        asked = np.ptp(targets[0], axis=0) > 0  # a classifier needs examples of yes and of no
        probe = RidgeClassifier(alpha=1000.0).fit(features[0], targets[0][:, asked])
        answers = np.zeros_like(targets[1])
        answers[:, asked] = probe.predict(features[1])
        right = (answers == targets[1]).all(axis=1).mean()
        lines.append(f"{question}: all right in {100 * right:.0f} % of the validation scenes")
    return "\n".join(lines)


def _kinds_present(colours: dict[str, str]) -> np.ndarray:
    """For each kind 1 where the scene has it, else 0."""
    return np.array([kind in colours for kind in KINDS], dtype=int)


def _pairs_present(colours: dict[str, str]) -> np.ndarray:
    """For each colour-and-kind pair 1 where the scene has it, else 0."""
    return np.array([colours.get(kind) == colour for colour in COLOURS for kind in KINDS], dtype=int)

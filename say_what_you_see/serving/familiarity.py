"""Whether to trust a caption: is the photograph like those that the model learnt from, and is the sentence likely?

The embeddings that a model was trained on are kept as a few hundred cluster centres, together with two limits that
95 % of the validation photographs stay within.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import atomic_path, read_arrays
from say_what_you_see.decoding.generate import GeneratedCaptions

FAMILIARITY_FILE = "familiarity.npz"
UNFAMILIAR = "unlike the photographs that the model learnt from"
UNLIKELY = "the model was not sure of these words"

_CENTROIDS, _NEAREST = 128, 3
_EXPONENT = 0.5  # roots tell drawn scenes and photographs apart better (docs/photo_model.md)
_MOST_ROWS = 20_000  # of the training embeddings; more would not give better centroids
_PERCENT = 95


@dataclass(frozen=True)
class Familiarity:
    """A summary of what a model learnt from."""

    centroids: np.ndarray  # of clusters of the training embeddings, each of length 1, (clusters, features)
    greatest_distance: float  # from the nearest centroids, of 95 % of the validation photographs
    least_log_probability: float  # per word, in nats, of 95 % of their captions
    exponent: float = _EXPONENT  # features are raised to this power; 1 in model folders of earlier versions

    def doubts(self, features: np.ndarray, log_probabilities: np.ndarray | None = None) -> list[list[str]]:
        """The reasons to doubt the captions of some photographs: none, one or two for each.

        Args:
            features: (photographs, ...).
            log_probabilities: per word of each caption, from `log_probability_of_a_word`; None if words were drawn.
        """
        doubts: list[list[str]] = [[] for _ in features]
        for number in np.flatnonzero(distances(features, self.centroids, self.exponent) > self.greatest_distance):
            doubts[number].append(UNFAMILIAR)
        if log_probabilities is not None:
            for number in np.flatnonzero(log_probabilities < self.least_log_probability):
                doubts[number].append(UNLIKELY)
        return doubts

    def save(self, path: Path) -> None:
        """Write it in half precision, which is precise enough to tell what is near."""
        limits = np.array([self.greatest_distance, self.least_log_probability, self.exponent])
        with atomic_path(path) as partial:
            np.savez(partial, centroids=self.centroids.astype(np.float16), limits=limits)


def learn_familiarity(train: np.ndarray, validation: np.ndarray, log_probabilities: np.ndarray) -> Familiarity:
    """Describe training embeddings by cluster centres, and find the limits on the validation photographs.

    Args:
        train, validation: features, (photographs, ...), possibly memory-mapped.
        log_probabilities: per word of each validation photograph's caption, written as `caption` does by default.
    """
    from sklearn.cluster import MiniBatchKMeans

    rows = _directions(train[:: -(-len(train) // _MOST_ROWS)], _EXPONENT)
    kmeans = MiniBatchKMeans(min(_CENTROIDS, len(rows)), random_state=0, n_init=1)
    with threadpool_limits(1):  # several threads would wait for each other at every small step
        kmeans.fit(rows)
    centroids = _directions(kmeans.cluster_centers_).astype(np.float16).astype(np.float32)  # as they are kept
    greatest_distance = float(np.percentile(distances(validation, centroids), _PERCENT))
    return Familiarity(centroids, greatest_distance, float(np.percentile(log_probabilities, 100 - _PERCENT)))


def distances(features: np.ndarray, centroids: np.ndarray, exponent: float = _EXPONENT) -> np.ndarray:
    """The mean cosine distance of embeddings (images, ...) to the few centroids nearest to each, (images,)."""
    nearest = min(_NEAREST, len(centroids))
    similarities = np.partition(_directions(features, exponent) @ centroids.T, -nearest, axis=1)[:, -nearest:]
    return 1 - similarities.mean(axis=1)


def log_probability_of_a_word(generated: GeneratedCaptions, end: int) -> np.ndarray:
    """The mean log-probability per word of each image's best caption, END included, in nats, (images,)."""
    best = generated.indices[:, 0]
    lengths = np.where(generated.finished[:, 0], np.argmax(best == end, axis=1) + 1, best.shape[1])
    return generated.log_probabilities[:, 0] / lengths


def read_familiarity(path: Path) -> Familiarity:
    """Read what `Familiarity.save` wrote."""
    centroids, limits = read_arrays(path, ("centroids", "limits"))
    if centroids.ndim != 2 or not len(centroids) or limits.shape not in ((2,), (3,)):
        raise CourseError(f"{path} is not a description of embeddings. Copy the folder again.")
    exponent = 1.0 if len(limits) == 2 else float(limits[2])
    return Familiarity(centroids.astype(np.float32), float(limits[0]), float(limits[1]), exponent)


def _directions(features: np.ndarray, exponent: float = 1.0) -> np.ndarray:
    """Embeddings, or the means of grids, raised to a power and scaled to length 1: (images, features)."""
    # The mean is taken without converting the array: a copy of all regions could take gigabytes.
    means = features.mean(axis=1, dtype=np.float32) if features.ndim == 3 else features
    features = np.asarray(means, dtype=np.float32)
    values = np.sign(features) * np.abs(features) ** exponent
    return values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-9)

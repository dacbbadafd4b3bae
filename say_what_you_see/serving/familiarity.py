"""Whether to believe a caption: is the photograph like those that the model learnt from, is the sentence a likely one?

The embeddings that a model was trained on are kept as a few hundred points among them, and with these two limits that
95 % of the validation photographs keep.
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

_CENTROIDS, _NEAREST = 256, 3
_MOST_ROWS = 20_000  # of the training embeddings; more make no better centroids
_PERCENT = 95


@dataclass(frozen=True)
class Familiarity:
    """What a model learnt from, in short."""

    centroids: np.ndarray  # of clusters of the training embeddings, each of length 1, (clusters, features)
    greatest_distance: float  # that 95 % of the validation photographs have from the centroids next to them
    least_log_probability: float  # that a word has on average, in nats, in 95 % of their captions

    def doubts(self, features: np.ndarray, log_probabilities: np.ndarray | None = None) -> list[list[str]]:
        """The reasons not to believe the captions of some photographs: none, one or two for each.

        Args:
            features: (photographs, ...).
            log_probabilities: of a word of each caption, from `log_probability_of_a_word`; None where words were drawn.
        """
        doubts: list[list[str]] = [[] for _ in features]
        for number in np.flatnonzero(distances(features, self.centroids) > self.greatest_distance):
            doubts[number].append(UNFAMILIAR)
        if log_probabilities is not None:
            for number in np.flatnonzero(log_probabilities < self.least_log_probability):
                doubts[number].append(UNLIKELY)
        return doubts

    def save(self, path: Path) -> None:
        """Write it in half precision, which is enough to tell what is near."""
        limits = np.array([self.greatest_distance, self.least_log_probability])
        with atomic_path(path) as partial:
            np.savez(partial, centroids=self.centroids.astype(np.float16), limits=limits)


def learn_familiarity(train: np.ndarray, validation: np.ndarray, log_probabilities: np.ndarray) -> Familiarity:
    """Describe training embeddings by cluster centres, and find the limits on the validation photographs.

    Args:
        train, validation: features, (photographs, ...), possibly memory-mapped.
        log_probabilities: of a word of each greedy caption of the validation photographs.
    """
    from sklearn.cluster import MiniBatchKMeans

    rows = _directions(train[:: -(-len(train) // _MOST_ROWS)])
    kmeans = MiniBatchKMeans(min(_CENTROIDS, len(rows)), random_state=0, n_init=1)
    with threadpool_limits(1):  # several threads would wait for each other at every small step
        kmeans.fit(rows)
    centroids = _directions(kmeans.cluster_centers_).astype(np.float16).astype(np.float32)  # as they are kept
    greatest_distance = float(np.percentile(distances(validation, centroids), _PERCENT))
    return Familiarity(centroids, greatest_distance, float(np.percentile(log_probabilities, 100 - _PERCENT)))


def distances(features: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """The mean cosine distance of embeddings (images, ...) to the few centroids nearest to each, (images,)."""
    nearest = min(_NEAREST, len(centroids))
    similarities = np.partition(_directions(features) @ centroids.T, -nearest, axis=1)[:, -nearest:]
    return 1 - similarities.mean(axis=1)


def log_probability_of_a_word(generated: GeneratedCaptions, end: int) -> np.ndarray:
    """The mean log-probability of a word of each image's best caption, its END among them, in nats, (images,)."""
    best = generated.indices[:, 0]
    lengths = np.where(generated.finished[:, 0], np.argmax(best == end, axis=1) + 1, best.shape[1])
    return generated.log_probabilities[:, 0] / lengths


def read_familiarity(path: Path) -> Familiarity:
    """Read what `Familiarity.save` wrote."""
    centroids, limits = read_arrays(path, ("centroids", "limits"))
    if centroids.ndim != 2 or not len(centroids) or limits.shape != (2,):
        raise CourseError(f"{path} is no description of embeddings. Copy the folder again.")
    return Familiarity(centroids.astype(np.float32), *limits.tolist())


def _directions(features: np.ndarray) -> np.ndarray:
    """Embeddings with length 1, of grids that of their mean: (images, features)."""
    # Means are taken from the array as it lies: a copy of all regions could take gigabytes.
    means = features.mean(axis=1, dtype=np.float32) if features.ndim == 3 else features
    values = np.asarray(means, dtype=np.float32)
    return values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-9)

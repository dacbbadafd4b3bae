"""Extraction as it is often written by hand: a thread reads the pictures into a queue, batches go to the network."""

from __future__ import annotations

import queue
import threading
import zipfile
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np

from say_what_you_see.vision.pictures import crop_and_preprocess, decode_image_from_buf

BATCH_SIZE, QUEUE_SIZE = 32, 128


def apply_model(
    zip_fn: str | Path,
    predict: Callable[[np.ndarray], np.ndarray],
    preprocess_for_model: Callable[[np.ndarray], np.ndarray],
    input_shape: tuple[int, int],
) -> tuple[np.ndarray, list[str]]:
    """Embeddings of all pictures of a zip, (n, features), and their names.

    Args:
        predict: from a preprocessed batch (n, height, width, 3) to embeddings.
    """
    waiting: queue.Queue = queue.Queue(QUEUE_SIZE)

    def read() -> None:
        with zipfile.ZipFile(zip_fn) as archive:
            for name in archive.namelist():
                picture = decode_image_from_buf(archive.read(name))
                waiting.put((crop_and_preprocess(picture, input_shape, preprocess_for_model), name))
        waiting.put(None)

    threading.Thread(target=read, daemon=True).start()
    embeddings, names = [], []
    items = iter(waiting.get, None)
    while batch := list(islice(items, BATCH_SIZE)):
        embeddings.append(predict(np.stack([picture for picture, _ in batch])))
        names += [name for _, name in batch]
    return np.concatenate(embeddings), names

"""Extraction as it is often written by hand: a thread reads the pictures into a queue, batches go to the network."""

from __future__ import annotations

import queue
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from say_what_you_see.vision.pictures import crop_and_preprocess, decode_image_from_buf

BATCH_SIZE, QUEUE_SIZE = 32, 128
_END = None


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
            for member in archive.infolist():
                picture = decode_image_from_buf(archive.read(member))
                waiting.put((crop_and_preprocess(picture, input_shape, preprocess_for_model), member.filename))
        waiting.put(_END)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    embeddings, names, pictures = [], [], []
    while (item := waiting.get()) is not _END:
        pictures.append(item[0])
        names.append(item[1])
        if len(pictures) == BATCH_SIZE:
            embeddings.append(predict(np.stack(pictures)))
            pictures.clear()
    if pictures:
        embeddings.append(predict(np.stack(pictures)))
    reader.join()
    return np.concatenate(embeddings), names

"""A long run holds no more memory and no more open files as it goes on."""

import os
import tracemalloc
from pathlib import Path

import pytest
from caption_samples import write_tiny_encoder
from hostile_files import write_zip
from record_samples import picture

from say_what_you_see.vision.encoders import load_encoder_file
from say_what_you_see.vision.extraction import apply_model

BATCHES, BATCH, SIDE = 60, 32, 24
ONE_BATCH = BATCH * SIDE * SIDE * 3 * 4  # bytes


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="this system does not show what is open")
def test_an_extraction_keeps_no_batches_and_no_files(tmp_path):
    kinds = [picture(number, (SIDE, SIDE)) for number in range(50)]
    pictures = {f"{number:06d}.jpg": kinds[number % len(kinds)] for number in range(BATCHES * BATCH)}
    pictures_zip = write_zip(tmp_path / "pictures.zip", pictures)
    encoder, shape = load_encoder_file(write_tiny_encoder(tmp_path / "tiny.keras"))
    predict, memory, files = encoder.predict_on_batch, [], []

    def watched(pictures):
        memory.append(tracemalloc.get_traced_memory()[0])
        files.append(len(os.listdir("/proc/self/fd")))
        return predict(pictures)

    encoder.predict_on_batch = watched
    tracemalloc.start()
    try:
        embeds, _ = apply_model(pictures_zip, encoder, lambda x: x, shape, store=tmp_path / "rows.npy")
    finally:
        tracemalloc.stop()
    assert len(embeds) == BATCHES * BATCH and len(memory) == BATCHES
    assert min(memory[-20:]) - min(memory[10:30]) < 4 * ONE_BATCH, "of thirty batches that it has done with"
    assert min(files[-20:]) <= min(files[10:30])

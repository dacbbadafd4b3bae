"""Watches memory and open files: `python tests/helpers/steadiness_harness.py extraction|training`.

Runs an extraction of so many tiny pictures, or a training of the decoder of so many steps, and prints as JSON what
the process held at ten and more moments spread over it: [done, MB of memory, open files].
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import zipfile
from pathlib import Path

os.environ["COURSE_PROGRESS"] = "off"
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from caption_samples import VOCAB, tiny_decoder, toy_examples, write_tiny_encoder
from record_samples import picture

from say_what_you_see.language.captions import PAD
from say_what_you_see.training.config import TrainingConfig
from say_what_you_see.training.loop import train_decoder
from say_what_you_see.vision.encoders import load_encoder_file
from say_what_you_see.vision.extraction import apply_model

SAMPLES = 20


class Watch:
    """Notes what this process holds, now and then."""

    def __init__(self, count: int) -> None:
        self.every, self.calls, self.samples = max(1, count // SAMPLES), 0, []

    def __call__(self, *_: object) -> None:
        self.calls += 1
        if self.calls % self.every == 0:
            with open("/proc/self/status", encoding="utf-8") as file:  # without pages of files, which are no memory
                memory = next(int(line.split()[1]) / 1024 for line in file if line.startswith("RssAnon:"))
            self.samples.append([self.calls, round(memory, 1), len(os.listdir("/proc/self/fd"))])


def extraction(folder: Path, count: int) -> Watch:
    """Embed pictures from one zip into a store."""
    with zipfile.ZipFile(folder / "pictures.zip", "w") as archive:
        kinds = [picture(number, (24, 24)) for number in range(50)]
        for number in range(count):
            archive.writestr(f"{number:06d}.jpg", kinds[number % len(kinds)])
    encoder, shape = load_encoder_file(write_tiny_encoder(folder / "tiny.keras"))
    watch, predict = Watch(count // 32), encoder.predict_on_batch
    encoder.predict_on_batch = lambda pictures: (watch(), predict(pictures))[1]
    embeds, names = apply_model(folder / "pictures.zip", encoder, lambda x: x, shape, store=folder / "rows.npy")
    assert len(embeds) == len(names) == count
    return watch


def training(folder: Path, count: int) -> Watch:
    """Train the decoder, with a checkpoint after every epoch."""
    examples, epochs = toy_examples(160), SAMPLES
    config = TrainingConfig(epochs, batch_size=max(1, len(examples.captions.matrix) * epochs // count))
    watch = Watch(epochs)
    train_decoder(tiny_decoder(dropout=0.1), examples, toy_examples(16, 1), config, VOCAB[PAD], folder / "run", watch)
    return watch


def main() -> None:
    """Read the command line, run, print."""
    runs = {"extraction": extraction, "training": training}
    parser = argparse.ArgumentParser(description="Watch memory and open files of a long run.")
    parser.add_argument("run", choices=runs)
    parser.add_argument("--count", type=int, default=20_000, help="pictures or steps (default: 20000)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="steady_") as folder:
        print(json.dumps(runs[options.run](Path(folder), options.count).samples))


if __name__ == "__main__":
    main()

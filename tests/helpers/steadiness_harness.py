"""Watches memory and open files: `python tests/steadiness_harness.py extraction|training|records [--count 20000]`.

Runs an extraction of so many tiny pictures, a training of the decoder or one on records of so many steps, and prints
as JSON what the process held at ten and more moments spread over it: [done, MB of memory, open files].
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import zipfile
from dataclasses import replace
from pathlib import Path

os.environ["COURSE_PROGRESS"] = "off"
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from caption_samples import VOCAB, tiny_decoder, toy_examples, write_tiny_encoder
from record_samples import picture, settings_for, write_data_set
from scale_samples import tiny_cnn, tiny_config, tiny_training

from say_what_you_see.language.captions import PAD
from say_what_you_see.training.config import TrainingConfig
from say_what_you_see.training.loop import train_decoder
from say_what_you_see.training.scale import training as scale_training
from say_what_you_see.training.scale.records import write_records
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


def records(folder: Path, count: int) -> Watch:
    """Train on records, with checkpoints."""
    pictures = {f"{number}.jpg": picture(number) for number in range(24)}
    data = write_data_set(folder / "set", pictures, {"v.jpg": picture(99), "w.jpg": picture(98)})
    made = write_records(settings_for(data, folder / "data"), folder / "records", {"train": 2, "val": 1, "test": 0})
    watch, after = Watch(count), scale_training._Recorder.after_step
    scale_training._Recorder.after_step = lambda self, *facts: (watch(), after(self, *facts))[1]
    config = replace(tiny_training(made.folder, folder / "run", count), save_every=max(1, count // 10), keep=2)
    scale_training.train_on_records(config, tiny_config(made.folder), tiny_cnn)
    return watch


def main() -> None:
    """Read the command line, run, print."""
    ways = {"extraction": extraction, "training": training, "records": records}
    parser = argparse.ArgumentParser(description="Watch memory and open files of a long run.")
    parser.add_argument("way", choices=ways)
    parser.add_argument("--count", type=int, default=20_000, help="pictures or steps (default: 20000)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="steady_") as folder:
        print(json.dumps(ways[options.way](Path(folder), options.count).samples))


if __name__ == "__main__":
    main()

"""`say-what-you-see records`, `train-records`, `evaluate-records`, `run-inference`: im2txt's way, with TFRecords."""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from say_what_you_see.commands.options import given
from say_what_you_see.core.settings import Settings
from say_what_you_see.core.text import visible
from say_what_you_see.evaluation.scale import EvaluationConfig
from say_what_you_see.evaluation.scale import evaluate_records as evaluate_checkpoints
from say_what_you_see.serving.scale_inference import run_inference as caption_files
from say_what_you_see.training.scale.devices import choose_strategy
from say_what_you_see.training.scale.folder import (
    ScaleFolders,
    latest_checkpoint,
    model_config,
    read_config,
    scale_folders,
)
from say_what_you_see.training.scale.records import write_records
from say_what_you_see.training.scale.training import PHASE_1, PHASE_2, ScaleTraining, train_on_records
from say_what_you_see.vision.cnn import cnn_for, encoder_side_length


def records(settings: Settings, options: argparse.Namespace) -> int:
    """Write the data set as shards of TFRecords, and show what they hold."""
    counts = given({split: getattr(options, f"{split}_shards") for split in ("train", "val", "test")})
    written = write_records(settings, options.records, counts, options.workers)
    print(visible(f"{written.show()}\nRecords: {written.folder}"))
    return 0


def train_records(settings: Settings, options: argparse.Namespace) -> int:
    """Train im2txt's model up to a step, on one machine or several."""
    strategy = choose_strategy()  # several machines have to find each other before TensorFlow is asked anything else
    shards, folders = _folders(settings, options)
    folder = folders.train
    units = {"embedding_size": options.units, "lstm_units": options.units}
    sizes = given({"side": options.side, **units, "dropout": options.dropout})
    if latest_checkpoint(folder):  # sizes that are not given stay as they were
        sizes = {name: getattr(read_config(folder), name) for name in ("side", *units, "dropout")} | sizes
    side = sizes.pop("side", None) or encoder_side_length(settings)
    config = model_config(shards, settings.encoder_name, side, **sizes)
    rates = given({"start": options.learning_rate, "warm_up": options.warm_up})
    rate = replace(PHASE_2 if options.train_inception else PHASE_1, **rates)
    names = ("steps", "batch_size", "train_inception", "save_every", "keep", "log_every", "precision")
    chosen = {name: getattr(options, name) for name in names}
    training = ScaleTraining(shards, folder, learning_rate=rate, seed=settings.seed, **chosen)
    state = train_on_records(training, config, lambda: cnn_for(settings, side), strategy)
    print(f"Step {state.steps_done}, checkpoints in {folder}")
    return 0


def evaluate_records(settings: Settings, options: argparse.Namespace) -> int:
    """Print the perplexity of each checkpoint as it appears, or of those that exist already."""
    shards, folders = _folders(settings, options)
    scores = folders.evaluation if options.shards == "val" else folders.evaluation.with_name("eval_test")
    config = EvaluationConfig(shards, folders.train, scores, options.shards, options.batch_size)
    result = None
    for result in evaluate_checkpoints(config, options.once, options.timeout):
        text = f"step {result.step}: perplexity {result.perplexity:.3f}, loss {result.loss:.4f} nats per word"
        print(f"{text} ({result.words:,} words, {result.seconds:.0f} s)", flush=True)
    if result is None:
        print("Nothing new to evaluate.", file=sys.stderr)
    return 0


def run_inference(settings: Settings, options: argparse.Namespace) -> int:
    """Caption picture files with a checkpoint; the exit status is 1 if one of them could not be read."""
    checkpoint = options.checkpoint or scale_folders(settings).train
    return caption_files(checkpoint, options.photos, options.beam, options.max_len)


def _folders(settings: Settings, options: argparse.Namespace) -> tuple[Path, ScaleFolders]:
    """Where the records are, and where checkpoints and scores go."""
    folders = ScaleFolders(options.folder) if options.folder else scale_folders(settings)
    return options.records or settings.dataset_folder / "records", folders

"""The commands of training at scale: `say-what-you-see records`, and so on."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from say_what_you_see.commands.options import add_settings, count, positive, share_below_1, whole_number
from say_what_you_see.core.settings import Settings
from say_what_you_see.core.text import visible

_SUMMARIES = {
    "records": "write the data set as sharded TFRecords, in im2txt's format",
    "train-records": "train im2txt's model on TFRecords; goes on where it stopped, on one machine or several",
    "evaluate-records": "wait for checkpoints of train-records and measure their perplexity",
    "run-inference": "caption pictures with a checkpoint of train-records, by beam search",
}
_DETAILS = {
    "records": "An interrupted run goes on with the shards that are missing.",
    "train-records": (
        "Phase 1 keeps the CNN as it is; phase 2 (--train-inception) trains everything and follows in the same folder. "
        "Steps are counted from the very beginning, so phase 2 needs a larger --steps than phase 1 had. All GPUs of "
        "the machine are used; for several machines start the same command on each, with TF_CONFIG set and the "
        "folders on a disk that they share. While it runs: say-what-you-see evaluate-records, and tensorboard --logdir."
    ),
    "evaluate-records": (
        "Start it beside train-records. On the same GPU the two may not find room: CUDA_VISIBLE_DEVICES= lets the "
        "evaluation run on the CPU."
    ),
    "run-inference": "A picture that cannot be read is reported, and the rest goes on.",
}


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add the parsers of these commands."""
    for name, summary in _SUMMARIES.items():
        description = f"{summary[0].upper()}{summary[1:]}. {_DETAILS[name]}"
        command = commands.add_parser(name, help=summary, description=description)
        add_settings(command)
        _ARGUMENTS[name](command)


def _add_records(command: argparse.ArgumentParser) -> None:
    command.add_argument("--records", type=Path, metavar="FOLDER", help="where to; default: the data set's folder")
    for split in ("train", "val", "test"):
        command.add_argument(f"--{split}-shards", type=whole_number(0), metavar="N", help=f"number of {split} shards")
    command.add_argument("--workers", type=count, metavar="N", help="shards written at the same time")


def _add_train_records(command: argparse.ArgumentParser) -> None:
    _add_folders(command)
    command.add_argument("--steps", type=count, required=True, metavar="N", help="train up to this step")
    command.add_argument("--train-inception", action="store_true", help="phase 2: train the CNN as well")
    command.add_argument(
        "--batch-size", type=count, default=32, metavar="N", help="of all devices together (default: 32)"
    )
    command.add_argument(
        "--learning-rate", type=positive, metavar="X", help="at the start (default: 0.001, phase 2: 0.00005)"
    )
    command.add_argument("--decay", type=positive, metavar="X", help="factor of the learning rate (default: 0.5) ...")
    command.add_argument("--decay-steps", type=count, metavar="N", help="... over this many steps (default: 100000)")
    command.add_argument(
        "--warm-up", type=whole_number(0), metavar="N", help="steps in which it rises (default: 0, phase 2: 100)"
    )
    command.add_argument(
        "--save-every", type=count, default=1000, metavar="N", help="steps between checkpoints (default: 1000)"
    )
    command.add_argument("--keep", type=count, default=5, metavar="N", help="latest checkpoints to keep (default: 5)")
    command.add_argument("--log-every", type=count, default=20, metavar="N", help="steps between scalars (default: 20)")
    command.add_argument(
        "--side", type=count, metavar="N", help="side of the pictures in pixels (default: the encoder's)"
    )
    command.add_argument("--units", type=count, metavar="N", help="size of LSTM and embeddings (default: 512)")
    command.add_argument("--dropout", type=share_below_1, metavar="X", help="share left out (default: 0.3)")
    command.add_argument("--precision", choices=("float32", "mixed_bfloat16", "mixed_float16"),
                         help="of the CNN (default: the best for the GPU; float32 on a CPU)")  # fmt: skip


def _add_evaluate_records(command: argparse.ArgumentParser) -> None:
    _add_folders(command)
    command.add_argument("--once", action="store_true", help="evaluate what is there, and do not wait for more")
    command.add_argument("--timeout", type=count, metavar="SECONDS", help="end when so long nothing new came")
    command.add_argument("--shards", choices=("val", "test"), default="val", help="which shards (default: val)")
    command.add_argument("--captions", type=count, metavar="N", help="evaluate so many captions at most")
    command.add_argument("--batch-size", type=count, default=32, metavar="N", help="captions at a time (default: 32)")


def _add_run_inference(command: argparse.ArgumentParser) -> None:
    command.add_argument("photos", nargs="+", type=Path, metavar="PHOTO", help="picture files")
    command.add_argument("--checkpoint", type=Path, metavar="PATH",
                         help="a checkpoint, or a folder: then its latest (default: the settings' folder)")  # fmt: skip
    command.add_argument("--beam", type=count, default=3, metavar="K", help="captions a picture (default: 3)")
    command.add_argument(
        "--max-len", type=count, default=20, metavar="N", help="stop after so many words (default: 20)"
    )


def _add_folders(command: argparse.ArgumentParser) -> None:
    command.add_argument("--records", type=Path, metavar="FOLDER", help="of the shards; default: the data set's folder")
    command.add_argument("--folder", type=Path, metavar="FOLDER",
                         help="gets train/ and eval/; default: im2txt in the settings' folder")  # fmt: skip


_ARGUMENTS: dict[str, Callable[[argparse.ArgumentParser], None]] = {
    "records": _add_records,
    "train-records": _add_train_records,
    "evaluate-records": _add_evaluate_records,
    "run-inference": _add_run_inference,
}


def _folders(settings: Settings, options: argparse.Namespace):
    from say_what_you_see.training.scale.folder import ScaleFolders, scale_folders

    return ScaleFolders(options.folder) if options.folder else scale_folders(settings)


def _records_folder(settings: Settings, options: argparse.Namespace) -> Path:
    return options.records or settings.dataset_folder / "records"


def _records(settings: Settings, options: argparse.Namespace) -> int:
    from say_what_you_see.training.scale.records import write_records

    counts = {split: getattr(options, f"{split}_shards") for split in ("train", "val", "test")}
    facts = write_records(settings, options.records, _given(counts), options.workers)
    print(visible(f"{facts.show()}\nRecords: {facts.folder}"))
    return 0


def _train_records(settings: Settings, options: argparse.Namespace) -> int:
    """The strategy comes first: several machines have to find each other before TensorFlow is asked anything else."""
    from say_what_you_see.training.scale.devices import choose_strategy
    from say_what_you_see.training.scale.training import train_on_records

    strategy = choose_strategy()
    training, config, cnn = _plan_training(settings, options)
    trainee = train_on_records(training, config, cnn, strategy)
    print(f"Step {trainee.steps_done}, checkpoints in {training.folder}")
    return 0


def _plan_training(settings: Settings, options: argparse.Namespace):
    """What `train_on_records` wants to know; the encoder's weights are read only when it asks for them."""
    from say_what_you_see.models.image_to_text import cnn_for, encoder_side_length
    from say_what_you_see.training.scale.folder import latest_checkpoint, model_config, read_config
    from say_what_you_see.training.scale.training import PHASE_1, PHASE_2, ScaleTraining

    records, folder = _records_folder(settings, options), _folders(settings, options).train
    kept = read_config(folder) if latest_checkpoint(folder) else None  # sizes that are not given are as before
    side = options.side or (kept.side if kept else encoder_side_length(settings))
    sizes = {"embedding_size": options.units, "lstm_units": options.units, "dropout": options.dropout}
    sizes = {name: getattr(kept, name) if kept and size is None else size for name, size in sizes.items()}
    config = model_config(records, settings.encoder_name, side, **_given(sizes))
    rates = {name: getattr(options, option) for name, option in _RATES.items()}
    rate = replace(PHASE_2 if options.train_inception else PHASE_1, **_given(rates))
    given = {name: getattr(options, name) for name in ("save_every", "keep", "log_every", "precision")}
    training = ScaleTraining(
        records, folder, options.steps, options.batch_size, options.train_inception, rate, seed=settings.seed, **given
    )
    return training, config, lambda: cnn_for(settings, side)


_RATES = {"start": "learning_rate", "decay": "decay", "decay_steps": "decay_steps", "warm_up": "warm_up"}


def _given(values: dict[str, Any]) -> dict[str, Any]:
    """Those that are not None."""
    return {name: value for name, value in values.items() if value is not None}


def _evaluate_records(settings: Settings, options: argparse.Namespace) -> int:
    from say_what_you_see.evaluation.scale import EvaluationConfig, evaluate_records

    folders = _folders(settings, options)
    config = EvaluationConfig(
        _records_folder(settings, options), folders.train, folders.evaluation, options.shards, options.batch_size,
        options.captions,
    )  # fmt: skip

    def report(result) -> None:
        text = f"step {result.step}: perplexity {result.perplexity:.3f}, loss {result.loss:.4f} nats a word"
        print(f"{text} ({result.words:,} words, {result.seconds:.0f} s)", flush=True)

    if not evaluate_records(config, options.once, options.timeout, report):
        print("Nothing new to evaluate.", file=sys.stderr)
    return 0


def _run_inference(settings: Settings, options: argparse.Namespace) -> int:
    from say_what_you_see.serving.scale_inference import run_inference
    from say_what_you_see.training.scale.folder import scale_folders

    return run_inference(
        options.checkpoint or scale_folders(settings).train, options.photos, options.beam, options.max_len
    )


RUN: dict[str, Callable[[Settings, argparse.Namespace], int]] = {
    "records": _records,
    "train-records": _train_records,
    "evaluate-records": _evaluate_records,
    "run-inference": _run_inference,
}

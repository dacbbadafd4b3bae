"""The course without notebooks: `say-what-you-see COMMAND`."""

from __future__ import annotations

import argparse
import os
import sys

from say_what_you_see.commands import caption, demo, embed, environment, evaluate, mirror, model, resources, scale
from say_what_you_see.commands.options import add_settings
from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.settings import Settings, read_settings

_COMMANDS = {
    "environment": "check whether this computer has what the course needs; paste the answer into reports",
    "resources": "draw or download the pictures and captions, and show what there is",
    "embed": "run the pictures through the encoder and keep the embeddings",
    "prepare": "make the vocabulary and turn the captions into numbers",
    "train": "train the decoder and leave a model folder",
    "evaluate": "measure the captions of the trained models: metrics, truth, diversity, errors",
    "caption": "describe pictures with a trained model",
    "demo": "caption pictures on a page in the browser, and watch how",
    "model": "install, list and pack trained models",
    "mirror": "fill a folder with the course's downloads, for a server in the classroom",
}
_ENVIRONMENT = {
    "dataset": "DATASET",
    "encoder": "ENCODER",
    "size": "COURSE_SIZE",
    "seed": "COURSE_SEED",
    "split": "COURSE_SPLIT",
}


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status: 0, 1 for what went wrong, 130 after Ctrl-C."""
    options = build_parser().parse_args(arguments)
    values = {name: getattr(options, option) for option, name in _ENVIRONMENT.items()}
    given = {name: str(value) for name, value in values.items() if value is not None}
    try:
        return _RUN[options.command](read_settings({**os.environ, **given}), options)
    except CourseError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. The same command goes on where it was.", file=sys.stderr)
        return 130


def build_parser() -> argparse.ArgumentParser:
    """The command line's parser."""
    parser = argparse.ArgumentParser(prog="say-what-you-see", description="Say What You See, without the notebooks.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, summary in _COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
        add_settings(command)
        if name in _ARGUMENTS:
            _ARGUMENTS[name](command)
    scale.add_commands(commands)
    return parser


def _prepare(settings: Settings, options: argparse.Namespace) -> int:
    from say_what_you_see.course.decoder import load_vocabulary, prepare_captions

    prepare_captions(settings)
    print(f"Vocabulary: {len(load_vocabulary(settings))} words")
    return 0


def _add_train_options(parser: argparse.ArgumentParser) -> None:
    text = "train the control of notebook 04 instead, whose pictures have the captions of others"
    parser.add_argument("--control", action="store_true", help=text)


def _train(settings: Settings, options: argparse.Namespace) -> int:
    from say_what_you_see.course.decoder import train, train_control

    if options.control:
        train_control(settings)
        print(f"Control: {settings.work_folder / 'checkpoints_control'}")
        return 0
    train(settings)
    print(f"Model: {settings.model_folder}")
    return 0


_ARGUMENTS = {
    "embed": embed.add_arguments,
    "train": _add_train_options,
    "evaluate": evaluate.add_arguments,
    "caption": caption.add_arguments,
    "demo": demo.add_arguments,
    "model": model.add_arguments,
    "mirror": mirror.add_arguments,
    "resources": resources.add_arguments,
}
_RUN = {
    "environment": environment.run,
    "resources": resources.run,
    "embed": embed.run,
    "prepare": _prepare,
    "train": _train,
    "evaluate": evaluate.run,
    "caption": caption.run,
    "demo": demo.run,
    "model": model.run,
    "mirror": mirror.run,
    **scale.RUN,
}

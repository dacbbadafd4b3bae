"""The command `say-what-you-see model`: install, list and pack caption models."""

from __future__ import annotations

import argparse
from pathlib import Path

from say_what_you_see.core.settings import Settings
from say_what_you_see.core.text import visible


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The options of the command."""
    actions = command.add_subparsers(dest="action", required=True, metavar="ACTION")
    install = actions.add_parser("install", help="bring in a model folder; `caption --model NAME` then uses it")
    install.add_argument("source", metavar="URL|FOLDER|ZIP", help="where the model is")
    install.add_argument("--name", help="what to call it (default: the name that it has there)")
    install.add_argument("--checksum", metavar="sha256:…", help="checksum of the zip, where its publisher gives one")
    actions.add_parser("list", help="the installed models")
    pack = actions.add_parser("pack", help="pack a model folder into a zip, to give away")
    pack.add_argument("zip", type=Path, metavar="FILE.zip", help="the zip to write")
    pack.add_argument(
        "--with-encoder", action="store_true",
        help="pack the .keras file of the model's encoder (ENCODER), too, so that the zip is all that is needed; "
        "its licence must allow it",
    )  # fmt: skip
    which = "model folder, or an installed model (default: that of the last training)"
    pack.add_argument("--model", metavar="FOLDER|NAME", help=which)


def run(settings: Settings, options: argparse.Namespace) -> int:
    """Do what the action says."""
    from say_what_you_see.serving.model_install import describe_models, install_model

    if options.action == "install":
        folder = install_model(options.source, settings, options.name, options.checksum)
        print(f"Installed: {folder}")
        _say_what_to_do(folder, settings)
    elif options.action == "pack":
        _pack(settings, options)
    else:
        print(visible(describe_models(settings)))
    return 0


def _say_what_to_do(folder: Path, settings: Settings) -> None:
    """How to use a model, and which file is still missing for it."""
    from say_what_you_see.serving.model_install import missing_encoder

    use, missing = f"say-what-you-see caption --model {folder.name}", missing_encoder(folder, settings)
    if missing is None:
        print(f"Use it: {use} PHOTO")
        return
    missing = visible(missing)
    print(
        f"It needs the encoder {missing} as well, which did not come with it. Ask for it where the model is from and "
        f"put it into {settings.data_folder}, or name it each time.\nUse it: {use} --encoder FOLDER/{missing} PHOTO"
    )


def _pack(settings: Settings, options: argparse.Namespace) -> None:
    """Pack a model, and say what its receiver needs besides."""
    from say_what_you_see.serving.model_choice import default_model, find_model
    from say_what_you_see.serving.model_folder import load_caption_model
    from say_what_you_see.serving.model_install import pack_model

    folder = find_model(options.model, settings) if options.model else default_model(settings)
    path = pack_model(folder, options.zip, settings if options.with_encoder else None)
    print(f"Packed: {path} ({path.stat().st_size / 1e6:.1f} MB)")
    if (name := load_caption_model(folder).encoder_file) is None:
        return
    if options.with_encoder:
        print(f"It holds the encoder {visible(name)}. See that its licence lets you give it away.")
    else:
        print(
            f"Who gets it needs the encoder {visible(name)}, too. Give that file along, or pack it in by "
            "--with-encoder, if its licence allows it."
        )

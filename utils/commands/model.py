"""The command `python -m utils model`: install, list and pack caption models."""

from __future__ import annotations

import argparse
from pathlib import Path

from utils.settings import Settings


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
    pack.add_argument("--model", type=Path, metavar="FOLDER", help="model folder (default: that of the last training)")


def run(settings: Settings, options: argparse.Namespace) -> int:
    """Do what the action says."""
    from utils.model_install import describe_models, install_model, pack_model

    if options.action == "install":
        folder = install_model(options.source, settings, options.name, options.checksum)
        print(f"Installed: {folder}\nUse it: python -m utils caption --model {folder.name} PHOTO")
    elif options.action == "pack":
        print(f"Packed: {pack_model(options.model or settings.model_folder, options.zip)}")
    else:
        print(describe_models(settings))
    return 0

"""The command `say-what-you-see resources`: have the data set ready, or a file that the course can download."""

from __future__ import annotations

import argparse

from say_what_you_see.core.settings import Settings


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The options of the command."""
    command.add_argument(
        "files", nargs="*", metavar="FILE", help="files of the table to download (default: what the data set needs)"
    )
    command.add_argument("--list", action="store_true", help="show the table of all that can be downloaded, and end")


def run(settings: Settings, options: argparse.Namespace) -> int:
    """Draw, download or find, and show what there is."""
    if options.list:
        from say_what_you_see.data.resources import describe_resources

        print(describe_resources())
        return 0
    return _fetch(settings, options.files) if options.files else _prepare_dataset(settings)


def _fetch(settings: Settings, names: list[str]) -> int:
    from say_what_you_see.data.resources import fetch_resource, find_resource

    for resource in [find_resource(name) for name in names]:  # all of them first, to notice a wrong name at once
        path = fetch_resource(resource.name, (settings.data_folder / resource.place).parent)
        print(f"{path}\n    {path.stat().st_size:,} bytes, licence: {resource.licence}")
    return 0


def _prepare_dataset(settings: Settings) -> int:
    from say_what_you_see.data.datasets import describe_files, get_dataset

    files = get_dataset(settings)
    for name, size, checksum in describe_files(files):
        print(f"{name:<28} {size / 1e6:10.1f} MB  sha256 {checksum[:16]}…")
    print(f"From: {files.source}\nLicence: {files.licence}")
    return 0

"""`say-what-you-see resources`: have the data set ready, or a file that the course can download."""

from __future__ import annotations

import argparse

from say_what_you_see.core.settings import Settings
from say_what_you_see.data.datasets import describe_files, get_dataset
from say_what_you_see.data.resources import describe_resources, fetch_resource, find_resource


def run(settings: Settings, options: argparse.Namespace) -> int:
    """Draw, download or find, and show what there is."""
    if options.list:
        print(describe_resources())
    elif options.files:
        for resource in [find_resource(name) for name in options.files]:  # all first, to notice a wrong name at once
            path = fetch_resource(resource.name, (settings.data_folder / resource.relative_path).parent)
            print(f"{path}\n    {path.stat().st_size:,} bytes, licence: {resource.licence}")
    else:
        files = get_dataset(settings)
        for name, size, checksum in describe_files(files):
            print(f"{name:<28} {size / 1e6:10.1f} MB  sha256 {checksum[:16]}…")
        print(f"From: {files.source}\nLicence: {files.licence}")
    return 0

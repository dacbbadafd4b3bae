"""`say-what-you-see resources` and `mirror`: what the course downloads, for this computer or for a classroom."""

import argparse

from say_what_you_see.core.settings import Settings
from say_what_you_see.data.datasets import describe_files, get_dataset
from say_what_you_see.data.mirror import SUMS, make_mirror
from say_what_you_see.data.resources import describe_resources, fetch_resource, find_resource


def resources(settings: Settings, options: argparse.Namespace) -> int:
    """Draw, download or find the data, and show what there is."""
    if options.list:
        print(describe_resources())
    elif options.files:
        for resource in [find_resource(name) for name in options.files]:  # all first, to catch a wrong name at once
            path = fetch_resource(resource.name, (settings.data_folder / resource.relative_path).parent)
            print(f"{path}\n    {path.stat().st_size:,} bytes, licence: {resource.licence}")
    else:
        files = get_dataset(settings)
        for name, size, checksum in describe_files(files):
            print(f"{name:<28} {size / 1e6:10.1f} MB  sha256 {checksum[:16]}…")
        print(f"From: {files.source}\nLicence: {files.licence}")
    return 0


def mirror(settings: Settings, options: argparse.Namespace) -> int:
    """Fill a folder with the course's downloads, and say how to use it."""
    paths = make_mirror(options.folder, settings, options.what)
    size = sum(path.stat().st_size for path in paths)
    print(f"{len(paths)} files, {size / 1e9:.1f} GB, in {options.folder}; their checksums are in {SUMS}.")
    print(f"To serve them: python -m http.server --directory {options.folder} 8000")
    print("Learners then start with COURSE_MIRROR=http://ADDRESS:8000, the address of this computer.")
    print("That server cannot resume a broken download; servers that support range requests (nginx, Caddy) can.")
    return 0

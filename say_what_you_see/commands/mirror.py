"""`say-what-you-see mirror`: fill a folder with the course's downloads, for a server in the classroom."""

from __future__ import annotations

import argparse

from say_what_you_see.core.settings import Settings
from say_what_you_see.data.mirror import SUMS, make_mirror


def run(settings: Settings, options: argparse.Namespace) -> int:
    """Fill the folder and say how to use it."""
    paths = make_mirror(options.folder, settings, options.what)
    size = sum(path.stat().st_size for path in paths)
    print(f"{len(paths)} files, {size / 1e9:.1f} GB, in {options.folder}; their checksums are in {SUMS}.")
    print(f"To serve them: python -m http.server --directory {options.folder} 8000")
    print("Learners then start with COURSE_MIRROR=http://ADDRESS:8000, the address of this computer.")
    print(
        "That server sends whole files only; with one that knows ranges (nginx, Caddy) downloads go on after a break."
    )
    return 0

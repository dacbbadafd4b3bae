"""A folder with the course's downloads, for a server in the classroom: thirty people, one download."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from say_what_you_see.core.files import atomic_path, check_space, make_folder
from say_what_you_see.core.settings import Settings
from say_what_you_see.data.checksums import sha256_of_file
from say_what_you_see.data.resources import Resource, fetch_resource, resources_of

SUMS = "SHA256SUMS"


def make_mirror(folder: Path, settings: Settings, groups: Sequence[str] = ()) -> list[Path]:
    """Fill a folder for a web server: with files from the data folder, or downloaded, and SHA256SUMS.

    Files distributed on request are left out: only their owners may pass them on.

    Args:
        folder: the mirror; files that are already in it are checked and kept.
        settings: their data folder may have the files already.
        groups: which downloads, such as "coco"; none means all.

    Returns:
        The files of the mirror.

    Raises:
        CourseError: if there is not enough space, or a file is unavailable.
    """
    resources = [resource for resource in resources_of(*groups) if not resource.page]
    make_folder(folder)
    missing = [resource for resource in resources if not (folder / resource.relative_path).exists()]
    check_space(folder / SUMS, sum(resource.bytes or 0 for resource in missing))
    paths = [_provide(resource, folder, settings.data_folder) for resource in resources]
    with atomic_path(folder / SUMS) as temporary:
        lines = [
            f"{sha256_of_file(path)}  {resource.relative_path}\n"
            for resource, path in zip(resources, paths, strict=True)
        ]
        temporary.write_text("".join(lines), encoding="utf-8")
    return paths


def _provide(resource: Resource, folder: Path, data_folder: Path) -> Path:
    """One file of the mirror, checked; hard-linked on the same disk, so that 20 GB do not become 40."""
    available, target = data_folder / resource.relative_path, folder / resource.relative_path
    if available.is_file() and not target.exists():
        source = fetch_resource(resource.name, available.parent)
        with atomic_path(target) as temporary:
            try:
                os.link(source, temporary)
            except OSError:
                shutil.copyfile(source, temporary)
    return fetch_resource(resource.name, target.parent)

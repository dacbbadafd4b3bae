"""A folder with the course's downloads, for a server in the classroom: thirty people, one download."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import atomic_path, check_space, sha256_of
from say_what_you_see.core.settings import Settings
from say_what_you_see.data.resources import RESOURCES, Resource, fetch_resource

SUMS = "SHA256SUMS"


def resources_of(groups: Sequence[str]) -> list[Resource]:
    """The entries of the table that belong to these groups, such as "coco" and "weights"; all without any.

    Raises:
        CourseError: if there is no such group.
    """
    known = sorted({resource.dataset for resource in RESOURCES})
    if unknown := sorted(set(groups) - set(known)):
        raise CourseError(f"There are no downloads called {', '.join(unknown)}. Possible are: {', '.join(known)}.")
    return [resource for resource in RESOURCES if not groups or resource.dataset in groups]


def make_mirror(folder: Path, settings: Settings, groups: Sequence[str] = ()) -> list[Path]:
    """Fill a folder for a web server to serve: files of the data folder, or downloads, and SHA256SUMS.

    What has to be asked for is left out: nobody but its owners may hand it on.

    Args:
        folder: the mirror; what is whole in it stays.
        settings: whose data folder may have the files already.
        groups: which of the downloads; all without any.

    Returns:
        The files of the mirror.

    Raises:
        CourseError: if there is no room, or if a file cannot be had.
    """
    wanted = [resource for resource in resources_of(groups) if not resource.by_request]
    folder.mkdir(parents=True, exist_ok=True)
    lacking = [resource for resource in wanted if not (folder / resource.place).exists()]
    check_space(folder / SUMS, sum(resource.bytes or 0 for resource in lacking))
    paths = [_bring(resource, folder, settings.data_folder) for resource in wanted]
    with atomic_path(folder / SUMS) as temporary:
        lines = [f"{sha256_of(path)}  {resource.place}\n" for resource, path in zip(wanted, paths, strict=True)]
        temporary.write_text("".join(lines), encoding="utf-8")
    return paths


def _bring(resource: Resource, folder: Path, data_folder: Path) -> Path:
    """One file of the mirror, checked."""
    here, there = data_folder / resource.place, folder / resource.place
    if here.is_file() and not there.exists():
        _link_or_copy(fetch_resource(resource.name, here.parent), there)
    return fetch_resource(resource.name, there.parent)


def _link_or_copy(source: Path, target: Path) -> None:
    """Link a file where the disk is the same, so that 20 GB do not become 40."""
    with atomic_path(target) as temporary:
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)

"""Every reader of the course gets damaged files: it may read them or refuse them with a CourseError, and no more.

`FUZZ_ROUNDS=1000 python -m pytest tests/system/test_fuzz_readers.py` tries more of them; `FUZZ_SEED` others.
"""

from __future__ import annotations

import os
import shutil
import traceback
from collections import Counter

import needs_tensorflow  # noqa: F401  (the module is skipped on other backends)
import numpy as np
import pytest
from fuzz_readers import damaged, make_readers

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.text import visible

ROUNDS, SEED = int(os.environ.get("FUZZ_ROUNDS", "12")), int(os.environ.get("FUZZ_SEED", "0"))


@pytest.fixture(scope="module")
def readers(tmp_path_factory):
    return make_readers(tmp_path_factory.mktemp("sound"))


def read(reader, data: bytes, folder) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    path = folder / f"input{reader.suffix}"
    path.write_bytes(data)
    reader.read(path)


def test_sound_files_are_read(readers, tmp_path):
    """Or nothing would be learned from damaging them."""
    assert len(readers) >= 20
    for reader in readers.values():
        for seed in reader.seeds:
            read(reader, seed, tmp_path / "sound")


def test_damaged_files_are_read_or_refused(readers, tmp_path):
    findings, counts = [], Counter()
    for number in range(ROUNDS):
        for name, reader in readers.items():
            data = damaged(reader, np.random.default_rng([SEED, number]))
            try:
                read(reader, data, tmp_path / "damaged")
                counts["read"] += 1
            except CourseError as error:
                counts["refused"] += 1
                assert visible(str(error)) == str(error), name
            except Exception:
                kept = tmp_path / f"finding_{len(findings)}{reader.suffix}"
                kept.write_bytes(data)
                findings.append(f"{name}, round {number}, {kept}:\n{traceback.format_exc(limit=-6)}")
    assert not findings, "\n\n".join(findings)
    assert min(counts["read"], counts["refused"]) > 20

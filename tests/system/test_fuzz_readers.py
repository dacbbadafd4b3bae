"""For some seconds every reader of the course gets damaged files; `tests/fuzz_readers.py` does it for longer."""

from __future__ import annotations

import numpy as np
from fuzz_readers import damaged, fuzz, make_readers, report

SECONDS = 15


def test_the_sound_files_are_read(tmp_path, capsys):
    """Or nothing would be learned from damaging them."""
    readers = make_readers(tmp_path)
    for name, reader in readers.items():
        for number, seed in enumerate(reader.seeds):
            place = tmp_path / f"{name} {number}".replace("/", "_")
            place.mkdir()
            path = place / f"sound{reader.suffix}"
            path.write_bytes(seed)
            reader.read(path)
    assert len(readers) >= 25


def test_damage_follows_from_the_seed(tmp_path):
    reader = make_readers(tmp_path)["captions in a zip"]
    inputs = [[damaged(reader, np.random.default_rng([seed, i])) for i in range(20)] for seed in (0, 0, 1)]
    assert [len(data) for data in inputs[0]] == [len(data) for data in inputs[1]]
    assert inputs[0] != inputs[2] and len(set(inputs[0])) > 15


def test_no_reader_does_anything_but_read_or_refuse(tmp_path):
    counts, found = fuzz(SECONDS, seed=0, findings=tmp_path / "findings")
    print(report(counts))
    assert not found, "\n\n".join(found)
    assert len(counts) >= 25 and all(count.total() for count in counts.values())

"""Whole files or none, and pickles that cannot run code."""

from __future__ import annotations

import builtins
import hashlib
import os
import pickle

import numpy as np
import pytest

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import atomic_path, read_json, read_pickle, save_pickle, sha256_of, slug, write_json

PLAIN = [
    [1, 2.5, "ü", None, True, b"\x00\xff", b"", 1j, 10**30],
    {"a": [1, (2, {"b": "c"})], 3: {4, 5}, "f": frozenset("ab")},
    (),
    "a text",
]
ARRAYS = [
    np.arange(6, dtype="float32").reshape(2, 3),
    np.asfortranarray(np.arange(6).reshape(2, 3)),
    np.arange(24).reshape(2, 3, 4).transpose(1, 0, 2),
    np.arange(12).reshape(3, 4)[:, ::2],
    np.arange(3, dtype=">i2"),
    np.array(["a", "bcd"]),
    np.array([True, False]),
    np.zeros((0, 4), "float16"),
    np.array(7, "uint8"),
]


class Runs:
    """A pickle of it calls a function when it is read the ordinary way."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def test_a_file_appears_only_when_whole(tmp_path):
    path = tmp_path / "new" / "file.txt"
    with atomic_path(path) as temporary:
        temporary.write_text("first")
        assert not path.exists()
        assert temporary.parent == path.parent
        assert temporary.suffix == path.suffix
    assert path.read_text() == "first"
    with pytest.raises(KeyboardInterrupt), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "first"
    assert list(path.parent.iterdir()) == [path]


def test_json_round_trip_and_errors(tmp_path):
    data = {"ü": [1, None, "x"]}
    write_json(data, tmp_path / "data.json")
    assert read_json(tmp_path / "data.json") == data
    (tmp_path / "half.json").write_text('{"a": ')
    for name in ("half.json", "missing.json"):
        with pytest.raises(CourseError, match=name):
            read_json(tmp_path / name)


def test_checksum_is_that_of_the_bytes(tmp_path):
    (tmp_path / "file").write_bytes(b"abc")
    assert sha256_of(tmp_path / "file") == hashlib.sha256(b"abc").hexdigest()


@pytest.mark.parametrize(("text", "expected"), [("My Photos (2)", "my_photos_2"), ("été", "ete"), ("../..", "unnamed")])
def test_slug(text, expected):
    assert slug(text) == expected


@pytest.mark.parametrize("value", PLAIN, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_values_come_back(value, protocol, tmp_path):
    path = tmp_path / "value.pickle"
    path.write_bytes(pickle.dumps(value, protocol))
    found = read_pickle(path)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_come_back_from_every_protocol(protocol, tmp_path):
    path = tmp_path / "arrays.pickle"
    path.write_bytes(pickle.dumps({"arrays": ARRAYS, "twice": (ARRAYS[0], ARRAYS[0])}, protocol))
    found = read_pickle(path)
    for array, expected in zip(found["arrays"], ARRAYS, strict=True):
        assert type(array) is np.ndarray
        np.testing.assert_array_equal(array, expected, strict=True)
        assert array.dtype.byteorder == expected.dtype.byteorder
        assert array.flags.writeable
    np.testing.assert_array_equal(found["twice"][1], ARRAYS[0])


def test_save_pickle_round_trip(tmp_path):
    scalars = [np.float32(0.5), np.int64(-3), np.bool_(True), np.str_("hé")]
    save_pickle({"scalars": scalars, "arrays": ARRAYS}, tmp_path / "mixed.pickle")
    found = read_pickle(tmp_path / "mixed.pickle")
    assert [(type(value), value) for value in found["scalars"]] == [(type(value), value) for value in scalars]
    assert len(found["arrays"]) == len(ARRAYS)


def test_names_of_numpy_1_are_admitted(tmp_path):
    """NumPy 1 wrote numpy.core where NumPy 2 writes numpy._core; text protocol 0 lets us put the old name in."""
    array = np.arange(4.0)
    written = pickle.dumps([array, np.float32(2)], protocol=0)
    assert b"numpy._core" in written
    (tmp_path / "old.pickle").write_bytes(written.replace(b"numpy._core", b"numpy.core"))
    found = read_pickle(tmp_path / "old.pickle")
    np.testing.assert_array_equal(found[0], array)
    assert found[1] == 2


TRAPS = {
    "os.mkdir": lambda target: pickle.dumps(Runs(os.mkdir, target)),
    "os.system": lambda target: pickle.dumps(Runs(os.system, f'mkdir "{target}"')),
    "eval": lambda target: pickle.dumps(Runs(builtins.eval, f"__import__('os').mkdir({target!r})")),
    "exec": lambda target: pickle.dumps(Runs(builtins.exec, f"import os; os.mkdir({target!r})")),
    "np.save": lambda target: pickle.dumps(Runs(np.save, target + ".npy", 1)),
    "deep inside": lambda target: pickle.dumps([1, {"deep": (np.ones(2), Runs(os.mkdir, target))}]),
    "in an object array": lambda target: pickle.dumps(np.array([Runs(os.mkdir, target)], dtype=object)),
    "getattr": lambda target: (
        f"cbuiltins\ngetattr\n(cpathlib\nPath\nVmkdir\ntR(cpathlib\nPath\n(V{target}\ntRtR.".encode(
            "raw_unicode_escape"
        )
    ),
}


@pytest.mark.parametrize("trap", TRAPS)
def test_pickles_that_run_something_are_refused(trap, tmp_path):
    path = tmp_path / "trap.pickle"
    path.write_bytes(TRAPS[trap](str(tmp_path / "refused")))
    with pytest.raises(CourseError, match=r"trap\.pickle holds"):
        read_pickle(path)
    assert list(tmp_path.iterdir()) == [path]
    pickle.loads(TRAPS[trap](str(tmp_path / "ran")))
    assert [entry.stem for entry in tmp_path.iterdir() if entry != path] == ["ran"], "the trap must work elsewhere"


@pytest.mark.parametrize(
    "written",
    [
        b"cnumpy\nload\n(Vx\ntR.",
        b"cos\nsystem\n.",  # a function alone, not even called
        b"cbuiltins\nset\n.",
        b"\x80\x04\x8c\x08builtins\x8c\x0cset.__base__\x93.",  # dotted names reach attributes since protocol 4
        b"\x80\x04\x8c\x05numpy\x8c\x19ndarray.__init__.__self__\x93.",
        pickle.dumps(np.array([{}, None], dtype=object), 2),
        pickle.dumps(np.array([(1, 2)], dtype="i4,f8"), 2),
        pickle.dumps(np.dtype("f4")),
        pickle.dumps(np.random.default_rng(0)),
    ],
)
def test_other_things_are_refused(written, tmp_path):
    path = tmp_path / "other.pickle"
    path.write_bytes(written)
    with pytest.raises(CourseError, match=r"other\.pickle holds"):
        read_pickle(path)


def test_states_that_lie_about_memory_do_no_harm(tmp_path):
    """NumPy's own unpickling of a dtype takes sizes and flags from the file; ours takes the byte order only."""
    honest = pickle.dumps(np.ones(2), protocol=0)
    lying = honest.replace(b"I-1\nI-1\nI0\n", b"I9999999\nI1\nI0\n")
    assert lying != honest
    (tmp_path / "lie.pickle").write_bytes(lying)
    np.testing.assert_array_equal(read_pickle(tmp_path / "lie.pickle"), np.ones(2), strict=True)
    (tmp_path / "short.pickle").write_bytes(honest.replace(b"(I2\n", b"(I9\n"))
    with pytest.raises(CourseError, match=r"short\.pickle is no whole pickle"):
        read_pickle(tmp_path / "short.pickle")


def test_truncated_and_foreign_files_are_named(tmp_path):
    whole = pickle.dumps(ARRAYS)
    for name, content in {"cut": whole[: len(whole) // 2], "empty": b"", "text": b"hello, world"}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(CourseError, match=f"{name} is no whole pickle"):
            read_pickle(tmp_path / name)
    with pytest.raises(CourseError, match="missing"):
        read_pickle(tmp_path / "missing")


def test_a_container_that_holds_itself_is_refused(tmp_path):
    endless: list = []
    endless.append(endless)
    save_pickle(endless, tmp_path / "endless.pickle")
    with pytest.raises(CourseError):
        read_pickle(tmp_path / "endless.pickle")

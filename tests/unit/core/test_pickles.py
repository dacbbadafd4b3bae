"""Plain data comes back from pickles; whatever wants to run something or claims too much is refused."""

import builtins
import json
import operator
import os
import pickle
import struct
import sys
from pathlib import Path

import numpy as np
import pytest

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.pickles import read_pickle

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
PLAIN = [{"a": [1, (2, {"b": "c"})], 3: [], "n": None}, [1.5, "ü", True, b"\x00\xff", 10**30], ["a.jpg"] * 3, ()]
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


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("value", PLAIN, ids=lambda value: type(value).__name__)
def test_plain_values_come_back(value, protocol, tmp_path):
    (tmp_path / "value.pickle").write_bytes(pickle.dumps(value, protocol))
    assert read_pickle(tmp_path / "value.pickle") == value


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_arrays_and_scalars_come_back(protocol, tmp_path):
    scalars = [np.float32(0.5), np.int64(-3), np.bool_(True), np.str_("hé")]
    written = pickle.dumps({"arrays": ARRAYS, "twice": (ARRAYS[0], ARRAYS[0]), "scalars": scalars}, protocol)
    if protocol == 2:
        written = written.replace(b"cnumpy._core.", b"cnumpy.core.")  # as NumPy 1 says
    (tmp_path / "arrays.pickle").write_bytes(written)
    read = read_pickle(tmp_path / "arrays.pickle")
    for array, expected in zip(read["arrays"], ARRAYS, strict=True):
        assert type(array) is np.ndarray and array.flags.writeable
        np.testing.assert_array_equal(array, expected, strict=True)
        assert array.dtype.byteorder == expected.dtype.byteorder
    np.testing.assert_array_equal(read["twice"][1], ARRAYS[0])
    assert [(type(value), value) for value in read["scalars"]] == [(type(value), value) for value in scalars]


# Pickles that run something when they are read the ordinary way: each makes the path that it is given


class Calls:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def _text(*lines: str) -> bytes:
    return "\n".join(lines).encode("raw_unicode_escape")


def _short(text: str) -> bytes:
    return b"X" + struct.pack("<I", len(text)) + text.encode()


MALICIOUS = {
    "os.system": lambda target: pickle.dumps(Calls(os.system, f'mkdir "{target}"')),
    "eval": lambda target: pickle.dumps(Calls(builtins.eval, f"__import__('os').mkdir({target!r})")),
    "numpy.memmap": lambda target: pickle.dumps(Calls(np.memmap, target, "uint8", "w+", 0, (9,))),
    "operator.methodcaller": lambda target: pickle.dumps(Calls(operator.methodcaller("mkdir"), Path(target))),
    "in containers": lambda target: pickle.dumps([{"a": (np.ones(2), Calls(os.mkdir, target))}]),
    "as a key": lambda target: pickle.dumps({Calls(os.mkdir, target): 1}),
    "in an object array": lambda target: pickle.dumps(np.array([Calls(os.mkdir, target)], dtype=object)),
    "in the state of a dtype": lambda target: pickle.dumps(np.ones(4), 0).replace(
        b"V<\n", _text("cos", "mkdir", f"(V{target}", "tR0V<", ""), 1
    ),
    "getattr": lambda target: _text(
        "cbuiltins", "getattr", "(cpathlib", "Path", "Vmkdir", "tR(cpathlib", "Path", f"(V{target}", "tRtR."
    ),
    "INST": lambda target: _text(f"(V{target}", "ios", "mkdir", "."),
    "OBJ": lambda target: b"(cos\nmkdir\n" + _text(f"V{target}", "") + b"o.",
    "a dotted name": lambda target: (
        b"\x80\x04" + _short("pathlib") + _short("os.mkdir") + b"\x93" + _short(target) + b"\x85R."
    ),
    "NEWOBJ": lambda target: (
        b"\x80\x04" + _short("numpy") + _short("memmap") + b"\x93("
        + _short(target) + _short("uint8") + _short("w+") + b"K\x00K\x09\x85t\x81."
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MALICIOUS)
def test_nothing_in_a_pickle_is_run(name, tmp_path):
    path = tmp_path / "trap.pickle"
    path.write_bytes(MALICIOUS[name](str(tmp_path / "refused")))
    with pytest.raises(CourseError, match=r"trap\.pickle (holds|is not a complete pickle)"):
        read_pickle(path)
    assert list(tmp_path.iterdir()) == [path]
    pickle.loads(MALICIOUS[name](str(tmp_path / "ran")))
    assert [entry.stem for entry in tmp_path.iterdir() if entry != path] == ["ran"], "the trap must work elsewhere"


# Pickles that claim more than their file has, and other broken ones


def _dtype(name: str) -> bytes:
    return b"cnumpy\ndtype\n(V" + name.encode() + b"\nI00\nI01\ntR"


def _from_buffer(data: bytes, shape: bytes, dtype: str = "u1") -> bytes:
    return b"cnumpy._core.numeric\n_frombuffer\n(" + data + _dtype(dtype) + shape + b"VC\ntR"


_TERABYTE = struct.pack("<Q", 1 << 40)
_MEGABYTE = b"B" + struct.pack("<I", 1 << 20) + bytes(1 << 20)
FOREIGN = {
    "LONG4": b"\x80\x02\x8b" + struct.pack("<i", 2**31 - 1) + b"\x01.",
    "LONG of a million digits": b"L" + b"9" * 1_000_000 + b"L\n.",
    "BINBYTES": b"\x80\x03B" + b"\xff\xff\xff\xff.",
    "BINBYTES8": b"\x80\x04\x8e" + _TERABYTE + b".",
    "BINUNICODE8": b"\x80\x04\x8d" + _TERABYTE + b".",
    "BYTEARRAY8": b"\x80\x05\x96" + _TERABYTE + b".",
    "FRAME": b"\x80\x04\x95" + _TERABYTE + b"N.",
    "a place in the memo": b"\x80\x02K\x01r\xfe\xff\xff\xff.",
    "a place in the memo, as text": b"I1\np99999999999999999999\n.",
    "a shape": _from_buffer(b"B\x02\x00\x00\x00ab", b"(I1000000\nI1000000\nt") + b".",
    "a shape that overflows": _from_buffer(b"B\x02\x00\x00\x00ab", b"(I4294967296\nI4294967296\nt") + b".",
    "an item": _from_buffer(b"B\x02\x00\x00\x00ab", b"(I1\nt", "S999999999") + b".",
    "a scalar": b"cnumpy._core.multiarray\nscalar\n(" + _dtype("U99999999") + b"B\x02\x00\x00\x00abtR.",
    "many arrays of the same bytes": b"\x80\x03(" + _MEGABYTE + b"q\x00"
    + _from_buffer(b"h\x00", b"(I1048576\nt") * 4000 + b"l.",
    "a deep list": b"]" * 1_000_000 + b"a" * 999_999 + b".",
    "a list that holds itself": b"]q\x00h\x00a.",
    "a future protocol": b"\x80\x7fN.",
    "a persistent id": b"Vfile\nQ.",
    "EXT1": b"\x80\x02\x82\x01.",
    "a buffer from elsewhere": b"\x80\x05\x97.",
    "a set": pickle.dumps({1}),
    "a dtype": pickle.dumps(np.dtype("f4")),
    "a generator": pickle.dumps(np.random.default_rng(0)),
    "objects": pickle.dumps(np.array([{}, None], dtype=object), 2),
    "a structure": pickle.dumps(np.array([(1, 2)], dtype="i4,f8"), 2),
    "a function": b"cnumpy._core.numeric\n_frombuffer\n.",
    "a state for a function": b"cnumpy._core.numeric\n_frombuffer\n(N}V__defaults__\nNstb.",
    "a state for a list": b"](N}Vname\nNstb.",
    "an array without a state": b"cnumpy._core.multiarray\n_reconstruct\n(tR.",
    "a call of ndarray": b"cnumpy\nndarray\n(I1000000000\ntR.",
    "a dtype that is code": _from_buffer(b"B\x02\x00\x00\x00ab", b"(I2\nt", "__import__('os')") + b".",
    "a shape of other size": pickle.dumps(np.ones(2), 0).replace(b"(I2\n", b"(I9\n"),
    "nothing to end with": b".",
    "an empty memo": b"h\x05.",
    "nothing": b"",
    "text": b"hello, world",
    "a long name": b"c" + b"\x1b[2J" + b"x" * 100_000 + b"\nsystem\n.",
}  # fmt: skip


def test_a_dtype_that_lies_about_memory_does_no_harm(tmp_path):
    """NumPy's own unpickling of a dtype takes sizes and flags from the file; only the byte order is taken here."""
    honest = pickle.dumps(np.ones(2), protocol=0)
    lying = honest.replace(b"I-1\nI-1\nI0\n", b"I9999999\nI1\nI0\n")
    assert lying != honest
    (tmp_path / "lie.pickle").write_bytes(lying)
    np.testing.assert_array_equal(read_pickle(tmp_path / "lie.pickle"), np.ones(2), strict=True)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_pickle_that_is_cut_off_anywhere_is_refused(protocol, tmp_path):
    whole = pickle.dumps({"names": ["a.jpg", "b.jpg"], "array": np.arange(6.0).reshape(2, 3), 3: (1, 2.5)}, protocol)
    path = tmp_path / "cut.pickle"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(CourseError, match=r"cut\.pickle"):
            read_pickle(path)


READ = """
import json, resource, sys
from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.pickles import _Unpickler, read_pickle
held = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (held + 2**28,) * 2)
messages = []
for path in sys.argv[1:]:
    try:
        messages.append(f"{type(read_pickle(path))} was read")
    except CourseError as error:
        messages.append(str(error))
assert _Unpickler.from_buffer.__defaults__ == (None,), "a pickle changed a function"
print(json.dumps(messages))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is limited in another way here")
def test_what_is_no_plain_data_is_refused_without_much_memory(tmp_path, run_python):
    """In a process that can have 256 MB more."""
    paths = []
    for name, data in FOREIGN.items():
        paths.append(tmp_path / f"{name}.pickle")
        paths[-1].write_bytes(data)
    done = run_python(READ, *paths, check=False)
    assert done.returncode == 0, done.stderr
    for path, message in zip(paths, json.loads(done.stdout), strict=True):
        assert f"{path} holds" in message or f"{path} is not a complete pickle" in message, path.name
        assert "MemoryError" not in message and len(message) < 600 and "\x1b" not in message

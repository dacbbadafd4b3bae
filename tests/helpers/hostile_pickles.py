"""Pickles that want to run something, to fill the memory, or to keep the reader busy, and pickles that are broken.

Each is made by code. `MALICIOUS` are made for a target, a path that would exist if the pickle had its way.
"""

from __future__ import annotations

import builtins
import codecs
import functools
import operator
import os
import pickle
import struct
import subprocess
from pathlib import Path

import numpy as np


class Calls:
    """A pickle of it calls a function when it is read the ordinary way."""

    def __init__(self, function, *arguments, state=None):
        self.call = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self):
        return self.call


def _code(target: str) -> str:
    return f"__import__('os').mkdir({target!r})"


def _text(*lines: str) -> bytes:
    return "\n".join(lines).encode("raw_unicode_escape")


MALICIOUS = {
    "os.mkdir": lambda target: pickle.dumps(Calls(os.mkdir, target)),
    "os.system": lambda target: pickle.dumps(Calls(os.system, f'mkdir "{target}"')),
    "os.popen": lambda target: pickle.dumps(Calls(os.popen, f'mkdir "{target}"')),
    "subprocess.Popen": lambda target: pickle.dumps(Calls(subprocess.Popen, ["mkdir", target])),
    "subprocess.call, protocol 0": lambda target: pickle.dumps(Calls(subprocess.call, ["mkdir", target]), 0),
    "eval": lambda target: pickle.dumps(Calls(builtins.eval, _code(target))),
    "exec": lambda target: pickle.dumps(Calls(builtins.exec, _code(target))),
    "exec, protocol 2": lambda target: pickle.dumps(Calls(builtins.exec, _code(target)), 2),
    "open": lambda target: pickle.dumps(Calls(builtins.open, target, "w")),
    "np.save": lambda target: pickle.dumps(Calls(np.save, target, 1)),
    "np.memmap": lambda target: pickle.dumps(Calls(np.memmap, target, "uint8", "w+", 0, (9,))),
    "ndarray.tofile": lambda target: pickle.dumps(Calls(operator.methodcaller("tofile", target), np.ones(2))),
    "operator.methodcaller": lambda target: pickle.dumps(Calls(operator.methodcaller("mkdir"), Path(target))),
    "functools.partial": lambda target: pickle.dumps(Calls(functools.partial(os.mkdir, target))),
    "map": lambda target: pickle.dumps(Calls(list, Calls(map, os.mkdir, [target]))),
    "in a list of dictionaries": lambda target: pickle.dumps([{"a": (np.ones(2), Calls(os.mkdir, target))}]),
    "as a key": lambda target: pickle.dumps({Calls(os.mkdir, target): 1}),
    "in an object array": lambda target: pickle.dumps(np.array([Calls(os.mkdir, target)], dtype=object)),
    "in the shape of an array": lambda target: pickle.dumps(np.ones(4), 0).replace(
        b"(I4\n", _text("(cos", "mkdir", f"(V{target}", "tR0I4", ""), 1
    ),
    "in the state of a dtype": lambda target: pickle.dumps(np.ones(4), 0).replace(
        b"V<\n", _text("cos", "mkdir", f"(V{target}", "tR0V<", ""), 1
    ),
    "getattr": lambda target: _text(
        "cbuiltins", "getattr", "(cpathlib", "Path", "Vmkdir", "tR(cpathlib", "Path", f"(V{target}", "tRtR."
    ),
    "__import__ and getattr": lambda target: _text(
        "cbuiltins", "getattr", "(c__builtin__", "__import__", "(Vos", "tRVmkdir", f"tR(V{target}", "tR."
    ),
    "INST": lambda target: _text(f"(V{target}", "ios", "mkdir", "."),
    "OBJ": lambda target: b"(cos\nmkdir\n" + _text(f"V{target}", "") + b"o.",
    "a dotted name": lambda target: (
        b"\x80\x04" + _short("os") + _short("path.os.mkdir") + b"\x93" + _short(target) + b"\x85R."
    ),
    "a dotted name through another module": lambda target: (
        b"\x80\x04" + _short("pathlib") + _short("os.mkdir") + b"\x93" + _short(target) + b"\x85R."
    ),
    "a frame within": lambda target: b"\x80\x04" + _framed(pickle.dumps(Calls(os.mkdir, target), 3)[2:]),
    "behind a mark": lambda target: b"(I1\n" + pickle.dumps(Calls(os.mkdir, target), 0),
    "NEWOBJ_EX": lambda target: (
        b"\x80\x04" + _short("numpy") + _short("memmap") + b"\x93" + _short(target) + b"\x85}"
        + b"(" + _short("mode") + _short("w+") + _short("shape") + b"K\x09u\x92."
    ),
    "a state that calls": lambda target: pickle.dumps(Calls(Setter, state={"target": target})),
    "codecs.open": lambda target: pickle.dumps(Calls(codecs.open, target, "w")),
}  # fmt: skip


class Setter:
    def __setstate__(self, state: dict) -> None:
        os.mkdir(state["target"])


def _short(text: str) -> bytes:
    data = text.encode()
    return (b"\x8c" + bytes([len(data)]) if len(data) < 256 else b"X" + struct.pack("<I", len(data))) + data


def _framed(data: bytes) -> bytes:
    return b"\x95" + struct.pack("<Q", len(data)) + data


def _dtype(name: str) -> bytes:
    return b"cnumpy\ndtype\n(V" + name.encode() + b"\nI00\nI01\ntR"


def _from_buffer(data: bytes, shape: bytes, dtype: str = "u1") -> bytes:
    return b"cnumpy._core.numeric\n_frombuffer\n(" + data + _dtype(dtype) + shape + b"VC\ntR"


def _list_of_twins(times: int) -> bytes:
    parts = [b"\x80\x02]q\x00"]
    for index in range(times):
        parts.append(b"](h%ch%ceq%c" % (index, index, index + 1))
    return b"".join(parts)


def _tuple_of_twins(times: int) -> bytes:
    parts = [b"\x80\x02K\x01\x85q\x00"]
    for index in range(times):
        parts.append(b"h%ch%c\x86q%c" % (index, index, index + 1))
    return b"".join(parts)


_BIG = struct.pack("<Q", 1 << 40)
_MEGABYTE = b"B" + struct.pack("<I", 1 << 20) + bytes(1 << 20)

GREEDY = {
    "LONG4 of 2 GB": b"\x80\x02\x8b" + struct.pack("<i", 2**31 - 1) + b"\x01.",
    "LONG4 of negative length": b"\x80\x02\x8b" + struct.pack("<i", -5) + b"\x01.",
    "LONG of a million digits": b"L" + b"9" * 1_000_000 + b"L\n.",
    "INT of a million digits": b"I" + b"9" * 1_000_000 + b"\n.",
    "a whole number of a megabyte": b"\x80\x02\x8b" + struct.pack("<i", 1 << 20) + b"\x7f" * (1 << 20) + b".",
    "BINBYTES of 4 GB": b"\x80\x03B" + b"\xff\xff\xff\xff.",
    "BINBYTES8 of a terabyte": b"\x80\x04\x8e" + _BIG + b".",
    "BINUNICODE8 of a terabyte": b"\x80\x04\x8d" + _BIG + b".",
    "BYTEARRAY8 of a terabyte": b"\x80\x05\x96" + _BIG + b".",
    "BYTEARRAY8 of 8 GB": b"\x80\x05\x96" + struct.pack("<Q", 8 << 30) + b".",
    "FRAME of a terabyte": b"\x80\x04\x95" + _BIG + b"N.",
    "FRAME of 16 exabytes": b"\x80\x04\x95" + b"\xff" * 8 + b"N.",
    "bytearray of a size": b"cbuiltins\nbytearray\n(I10000000000\ntR.",
    "bytes of a size": b"cbuiltins\nbytes\n(I10000000000\ntR.",
    "an array of a huge shape": _from_buffer(b"B\x02\x00\x00\x00ab", b"(I1000000\nI1000000\nt") + b".",
    "an array of a huge item": _from_buffer(b"B\x02\x00\x00\x00ab", b"(I1\nt", "S999999999") + b".",
    "a scalar of a huge item": b"cnumpy._core.multiarray\nscalar\n(" + _dtype("U99999999") + b"B\x02\x00\x00\x00abtR.",
    "an array of a shape that overflows": _from_buffer(b"B\x02\x00\x00\x00ab", b"(I4294967296\nI4294967296\nt") + b".",
    "many arrays of the same bytes": b"\x80\x03(" + _MEGABYTE + b"q\x00"
    + _from_buffer(b"h\x00", b"(I1048576\nt") * 4000 + b"l.",
    "many copies of the same bytes": b"\x80\x03(" + _MEGABYTE + b"q\x00"
    + b"cbuiltins\nbytearray\n(h\x00tR" * 4000 + b"l.",
    "many sets of the same list": b"\x80\x02](" + b"K\x01" * 100_000 + b"eq\x00("
    + b"cbuiltins\nset\n(h\x00tR" * 20_000 + b"l.",
    "a tuple of tuples as a key": _tuple_of_twins(60) + b"}h\x3cK\x01s.",
    "a tuple of tuples in a set": b"\x80\x04\x8f(" + _tuple_of_twins(60)[2:] + b"h\x3c\x90.",
    "a tuple of tuples in a set of old": b"cbuiltins\nset\n((" + _tuple_of_twins(60)[2:] + b"h\x3cltR.",
    "a deep tuple as a key": b"\x80\x02}q\x00)" + b"\x85" * 1_000_000 + b"Ns.",
    "a deep list": b"]" * 1_000_000 + b"a" * 999_999 + b".",
    "colliding numbers as keys": pickle.dumps({(2**61 - 1) * i: 0 for i in range(1, 300)}),
    "a list that holds itself": b"]q\x00h\x00a.",
    "a dictionary that holds itself": b"}q\x00K\x01h\x00s.",
}  # fmt: skip

HARMLESS_BUT_LARGE = {
    "a list of lists": (_list_of_twins(60) + b".", list),
    "a tuple of tuples": (_tuple_of_twins(60) + b".", tuple),
    "a place in the memo that is far away": (b"\x80\x02K\x01r\xfe\xff\xff\xff.", int),
    "the same in text": (b"I1\np99999999999999999999\n.", int),
}
"""What would need the memory or the time of millions if it were done simply, and is nothing in truth."""

FOREIGN = {
    "a protocol of the future": b"\x80\x7fN.",
    "a persistent id": b"Pfile\n.",
    "a persistent id, binary": b"Vfile\nQ.",
    "EXT1": b"\x80\x02\x82\x01.",
    "EXT2": b"\x80\x02\x83\x01\x01.",
    "EXT4": b"\x80\x02\x84\x01\x01\x01\x01.",
    "EXT4 of a negative code": b"\x80\x02\x84\xff\xff\xff\xff.",
    "a buffer from elsewhere": b"\x80\x05\x97.",
    "a state for a function of ours": b"cnumpy._core.numeric\n_frombuffer\n(N}V__name__\nVx\nst" + b"b.",
    "a state for a class of ours": b"cnumpy\nndarray\n}V__setstate__\nNsb.",
    "a state for a list": b"](N}tb.",
    "items for an array": b"cnumpy._core.multiarray\n_reconstruct\n(tRK\x01a.",
    "an array without a state": b"cnumpy._core.multiarray\n_reconstruct\n(tR.",
    "a call of a list": b"](tR.",
    "a new ndarray": b"\x80\x02cnumpy\nndarray\nK\x05\x85\x81.",
    "a call of ndarray": b"cnumpy\nndarray\n(I1000000000\ntR.",
    "an instruction that there is not": b"\xfe.",
    "nothing to end with": b".",
    "a memo that is empty": b"h\x05.",
    "an unknown dtype": _from_buffer(b"B\x02\x00\x00\x00ab", b"(I2\nt", "u1,u1") + b".",
    "a dtype that is Python": _from_buffer(b"B\x02\x00\x00\x00ab", b"(I2\nt", "__import__('os')") + b".",
    "no text at all": b"hello, world",
    "a zip": b"PK\x03\x04" + bytes(40),
}

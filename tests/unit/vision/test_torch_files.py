"""Old `.pth` files are read without PyTorch; those that are damaged or carry code are refused."""

from pathlib import Path

import numpy as np
import pytest
from torch_file_writer import write_torch_file

from say_what_you_see.core.errors import CourseError
from say_what_you_see.vision.torch_files import read_torch_file

NUMBERS = np.arange(120, dtype="float32")
TENSORS = {
    "plain": NUMBERS.reshape(2, 3, 4, 5),
    "kernel": NUMBERS.reshape(5, 4, 3, 2).transpose(3, 2, 1, 0),
    "window": NUMBERS.reshape(10, 12)[2:8:3, 1::2],
    "count": np.array(7),
}


@pytest.fixture
def file(tmp_path):
    return write_torch_file(tmp_path / "weights.pth", TENSORS)


def test_tensors_come_back_whatever_their_strides(file):
    read = read_torch_file(file)
    assert list(read) == list(TENSORS)
    for name, expected in TENSORS.items():
        np.testing.assert_array_equal(read[name], expected, strict=True)
        assert read[name].flags.c_contiguous and read[name].flags.owndata


@pytest.mark.parametrize("code", [
    b"cos\nmkdir\n(X\x06\0\0\0canarytR", b"c__builtin__\neval\n(X\x01\0\0\x001tR", b"(X\x01\0\0\x001ios\nsystem\n",
    b"ctorch.storage\n_load_from_bytes\n(C\x01xtR",
])  # fmt: skip
def test_code_is_refused_and_not_run(code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CourseError, match=r"code\.pth holds"):
        read_torch_file(write_torch_file(tmp_path / "code.pth", TENSORS, code))
    assert [path.name for path in tmp_path.iterdir()] == ["code.pth"]


def test_half_a_file_is_refused(file):
    content = file.read_bytes()
    for size in (0, 10, 200, content.index(b"OrderedDict"), len(content) - 500, len(content) - 1):
        file.write_bytes(content[:size])
        with pytest.raises(CourseError, match=r"weights\.pth"):
            read_torch_file(file)


@pytest.mark.parametrize(("old", "new"), [
    (b"K\x02K\x03K\x04K\x05t", b"K\x02K\x03K\x04K\x06t"),  # a shape that reaches beyond the storage
    (b"K\x02K\x03K\x04K\x05t", b"K\xffK\xffK\xffK\xfft"),  # 4 billion numbers
    (b"K<K\x14K\x05K\x01t", b"K<K\x14K\x05K\x02t"),  # strides
    (b"FloatStorage", b"QuickStorage"),
    (b"M\xe9\x03.", b"M\xea\x03."),  # the version
    ((120).to_bytes(8, "little"), b"\xff" * 8),  # the count of a storage
])  # fmt: skip
def test_false_claims_are_refused(file, old, new):
    content = file.read_bytes()
    assert old in content
    file.write_bytes(content.replace(old, new, 1))
    with pytest.raises(CourseError, match=r"weights\.pth"):
        read_torch_file(file)


@pytest.mark.parametrize("content", [b"PK\x03\x04 a zip", b"no weights"])
def test_other_files_are_refused(content, tmp_path):
    (tmp_path / "other.pth").write_bytes(content)
    for path in (tmp_path / "other.pth", tmp_path / "missing.pth", Path(tmp_path)):
        with pytest.raises(CourseError, match=str(path)):
            read_torch_file(path)

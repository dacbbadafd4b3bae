"""Zips, pictures, arrays and JSON from elsewhere: what is sound is read, the rest is refused at once and by name."""

import copy
import itertools
import json
import os
import pickle
import stat
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hostile_files import CAPTIONS, captions_json, claiming_picture, picture, write_zip

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import read_array, read_arrays
from say_what_you_see.data.archives import image_members, open_zip, read_member
from say_what_you_see.data.coco_format import images_by_name, read_captions
from say_what_you_see.data.folders import get_folder_dataset
from say_what_you_see.language import captions as language
from say_what_you_see.vision.pictures import crop_and_resize, decode_image_from_buf

MEMBER = "annotations/captions_train.json"

# Zips


LINK = zipfile.ZipInfo("link.png")
LINK.create_system, LINK.external_attr = 3, (stat.S_IFLNK | 0o777) << 16  # as `zip --symlinks` does


@pytest.mark.parametrize(
    "name", ["../out.png", "a/../../out.png", "/etc/out.png", "C:\\out.png", "..\\out.png", "C:a.png", LINK], ids=str
)
def test_links_and_names_that_lead_out_of_a_zip_are_refused(name, tmp_path):
    path = write_zip(tmp_path / "out.zip", {"fine.png": picture()})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name, "/etc/passwd")
    with pytest.raises(CourseError, match=r"out\.zip holds .*link.*leads out"):
        image_members(path)
    assert list(tmp_path.iterdir()) == [path]


def test_a_zip_of_very_much_is_refused_before_it_is_unpacked(tmp_path):
    bombs = [tmp_path / "bomb.zip", tmp_path / "overlap.zip"]
    write_zip(bombs[0], {f"{i}.bmp": bytes(30_000_000) for i in range(10)}, packed=True)
    with zipfile.ZipFile(bombs[1], "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("0.png", bytes(20_000_000))
        for number in range(1, 200):  # the same bytes under another name
            archive.filelist.append(copy.copy(archive.filelist[0]))
            archive.filelist[-1].filename = f"{number}.png"
    for bomb in bombs:
        with pytest.raises(CourseError, match=rf"{bomb.name} has .* claims to hold"):
            image_members(bomb)


def test_a_picture_that_packs_well_is_no_bomb(tmp_path):
    plain = picture("BMP", (1000, 1000), "L")
    path = write_zip(tmp_path / "plain.zip", {"white.bmp": bytes(len(plain)), "plain.bmp": plain}, packed=True)
    with open_zip(path) as archive:
        assert read_member(archive, archive.getinfo("plain.bmp")) == plain


def test_a_file_that_claims_more_than_can_be_is_refused(tmp_path):
    path = write_zip(tmp_path / "large.zip", {"a.png": picture()})
    with open_zip(path) as archive, pytest.raises(CourseError, match=r"a\.png in .* too large"):
        read_member(archive, archive.getinfo("a.png"), 10)


def patch_headers(path: Path, local: int, central: int, data: bytes) -> Path:
    """Overwrite bytes in both headers of the only file of a zip."""
    content = bytearray(path.read_bytes())
    for at in (local, content.rindex(b"PK\x01\x02") + central):
        content[at : at + len(data)] = data
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_file_that_claims_less_than_it_holds_is_cut_off(method, tmp_path):
    path = tmp_path / "liar.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("a.png", bytes(20_000_000))
    patch_headers(path, 22, 24, struct.pack("<I", 1000))  # the size when unpacked
    with open_zip(path) as archive, pytest.raises(CourseError, match=r"a\.png in .*liar\.zip cannot be unpacked"):
        read_member(archive, archive.getinfo("a.png"))


def test_an_encrypted_file_is_named(tmp_path):
    path = patch_headers(write_zip(tmp_path / "locked.zip", {"a.png": picture()}), 6, 8, b"\x01\x00")
    with open_zip(path) as archive, pytest.raises(CourseError, match=r"a\.png in .*locked\.zip is encrypted.*password"):
        read_member(archive, image_members(path)[0])


@pytest.mark.parametrize(
    "name", ["ü.png", "狗.png", "كلب.png", "a\u202egnp.png", "x" * 500 + ".png", "a b\t.png", "\x1b[2J.png"]
)
def test_names_of_every_script_are_names(name, tmp_path):
    path = write_zip(tmp_path / "names.zip", {name: picture()})
    assert list(images_by_name(path)) == [name]


# Pictures


SIZES = [
    *itertools.product(["PNG", "GIF", "BMP"], [(60_000, 60_000), (65_500, 1_400), (10_000, 8_901)]),
    *itertools.product(["JPEG"], [(60_000, 60_000), (65_500, 3_900), (16_000, 15_626)]),
    *itertools.product(["PNG", "BMP", "JPEG"], [(0, 0), (0, 16), (24, 0)]),  # frames of a GIF have sizes of their own
]
"""Just over what is decoded, far over it, and nothing."""


@pytest.mark.parametrize(("kind", "size"), SIZES)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_pixels_are_counted_before_they_are_decoded(kind, size):
    complaint = "pixels" if all(size) else None
    for decode in (decode_image_from_buf, lambda data: crop_and_resize(data, (8, 8))):
        with pytest.raises(CourseError, match=complaint):
            decode(claiming_picture(kind, *size))


# Captions as JSON, tables and token files


def captions_zip(path: Path, content: Any) -> Path:
    """A zip with caption JSON, or with any text in its place."""
    text = content if isinstance(content, str | bytes) else json.dumps(content)
    return write_zip(path, {MEMBER: text}, packed=True)


@pytest.mark.parametrize("name", CAPTIONS)
def test_every_caption_that_is_text_is_read_and_can_be_learned_from(name, tmp_path):
    content = captions_json({"a.jpg": [CAPTIONS[name], "a red ball"]})
    path = captions_zip(tmp_path / "captions.zip", content)
    captions = read_captions(path, MEMBER)
    assert captions == {"a.jpg": [CAPTIONS[name], "a red ball"]}
    assert language.get_captions_for_fns(["a.jpg"], path, MEMBER) == [[CAPTIONS[name], "a red ball"]]
    vocab = language.generate_vocabulary(captions.values(), min_count=1)
    packed = language.pack_captions(language.caption_tokens_to_indices(captions.values(), vocab), vocab[language.PAD])
    assert packed.matrix.shape[1] <= 200, "one long caption does not make all of them long"


_IMAGE = {"id": 1, "file_name": "a.jpg"}
_ANNOTATION = {"id": 1, "image_id": 1, "caption": "a ball"}


@pytest.mark.parametrize("content", [
    "", "null", '"text"', "{", "[" * 100_000, '{"images": ' + "[" * 100_000, b"\xff\xfe\x00",
    {"images": None, "annotations": []}, {"images": [_IMAGE]}, {"images": [{"id": 1}], "annotations": []},
    {"images": [_IMAGE, {"id": 1, "file_name": "b.jpg"}], "annotations": [_ANNOTATION]},
    {"images": [_IMAGE], "annotations": {"a": 1}}, {"images": [_IMAGE], "annotations": [{"image_id": 1}]},
    *({"images": [_IMAGE], "annotations": [_ANNOTATION | {"image_id": number}]} for number in (2, float("nan"))),
    *({"images": [_IMAGE], "annotations": [_ANNOTATION | {"caption": text}]} for text in (None, 5, "\ud800")),
    *({"images": [_IMAGE | {"file_name": text}], "annotations": [_ANNOTATION]} for text in (None, [], "\udcff.jpg")),
    '{"images": [{"id": 1' + "0" * 5000 + ', "file_name": "a"}], "annotations": []}',
])  # fmt: skip
def test_json_of_another_shape_is_refused(content, tmp_path):
    path = captions_zip(tmp_path / "captions.zip", content)
    with pytest.raises(CourseError, match=r"captions_train\.json in .*captions\.zip") as caught:
        read_captions(path, MEMBER)
    assert len(str(caught.value)) < 1200


def test_json_that_is_huge_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr("say_what_you_see.data.coco_format.MAX_ZIPPED_JSON", 1000)
    path = captions_zip(tmp_path / "captions.zip", captions_json({"a.jpg": ["word " * 1000]}))
    with pytest.raises(CourseError, match="too large"):
        read_captions(path, MEMBER)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_what_is_no_file_in_a_folder_of_pictures_is_passed_over(tmp_path, capsys):
    source = tmp_path / "source"
    (source / "folder.jpg").mkdir(parents=True)
    os.mkfifo(source / "pipe.jpg")  # reading it would wait for ever
    (source / "gone.jpg").symlink_to(tmp_path / "nowhere")
    rows = []
    for name, caption in zip("abcd", "wxyz", strict=True):
        (source / f"{name}.png").write_bytes(picture())
        rows.append(f"{name}.png,{caption}")
    with open(os.fsencode(source) + b"/\xff\x1b[2J.png", "wb") as file:  # a name in no encoding
        file.write(picture())
    (source / "captions.csv").write_text("\n".join(rows))
    files = get_folder_dataset(source, tmp_path / "made", seed=0)
    assert sum(len(images_by_name(zip_path)) for zip_path in files.zips[:2]) == 4
    assert r"\udcff\x1b[2J.png" in capsys.readouterr().out


# Arrays


def _npy(header: str, data: bytes = b"") -> bytes:
    text = header.encode().ljust(118 - len(header) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


NPY = {
    "an object array": None,
    "a pickle": pickle.dumps(np.ones(3)),
    "objects in a structure": _npy("{'descr': [('a', '|O')], 'fortran_order': False, 'shape': (1,), }", bytes(8)),
    "a shape that overflows": _npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2**62, 2**62), }", bytes(8)),
    "a negative shape": _npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }", bytes(8)),
    "more than there is": _npy("{'descr': '<f4', 'fortran_order': False, 'shape': (10**6, 10**6), }", bytes(8)),
    "a header that is code": _npy("__import__('os').system('true')"),
    "a header that is deep": _npy("(" * 5000),
    "a header that is long": b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**31 - 1) + b"{",
    "texts": _npy("{'descr': '<U2', 'fortran_order': False, 'shape': (1,), }", bytes(8)),
    "nothing": b"",
}


@pytest.mark.parametrize("name", NPY)
def test_arrays_that_are_no_whole_tables_of_numbers_are_refused(name, tmp_path):
    path = tmp_path / "array.npy"
    if NPY[name] is None:
        np.save(path, np.array([{}, os.system], dtype=object), allow_pickle=True)
    else:
        path.write_bytes(NPY[name])
    with pytest.raises(CourseError, match=r"array\.npy is not a complete NumPy file of numbers"):
        read_array(path)
    packed = write_zip(tmp_path / "arrays.npz", {"first.npy": path.read_bytes()})
    with pytest.raises(CourseError, match=r"arrays\.npz is not a complete NumPy file"):
        read_arrays(packed, ["first"])


def test_a_file_of_arrays_that_lacks_one_or_packs_them_is_named(tmp_path):
    np.savez(tmp_path / "few.npz", other=np.ones(2))
    np.savez_compressed(tmp_path / "packed.npz", first=np.zeros(1_000_000))
    for name in ("few", "packed", "missing"):
        with pytest.raises(CourseError, match=rf"{name}\.npz"):
            read_arrays(tmp_path / f"{name}.npz", ["first"])

"""Data sets: drawn, downloaded from a server on this machine, converted, found in a folder."""

import json
import os
import zipfile
from functools import partial
from pathlib import Path

import pytest
from hostile_files import captions_json, write_zip
from record_samples import picture, write_data_set

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.settings import Settings, read_settings
from say_what_you_see.data import datasets, flickr
from say_what_you_see.data.caption_files import read_caption_file
from say_what_you_see.data.coco_format import build_if_stale, images_by_name, read_captions, split_by_seed
from say_what_you_see.data.datasets import get_dataset, terms_of

FLICKR8K = Path(__file__).resolve().parents[4] / "shared" / "flickr8k"


def picture_zip(path: Path, names: list[str]) -> Path:
    return write_zip(path, {name: picture(number) for number, name in enumerate(names)})


def own_folder(folder: Path, names: list[str], table: str) -> Path:
    """A user's folder in form 1: pictures with these names and a table of captions."""
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(picture(number))
    (folder / "captions.csv").write_text(table, encoding="utf-8")
    return folder


TRAIN = [f"t{number}.jpg" for number in range(5)]
VAL = ["v0.jpg", "v1.jpg"]


@pytest.fixture
def course(tmp_path):
    """Read settings whose results go to a temporary folder."""

    def settings(dataset, **others):
        return read_settings({"DATASET": str(dataset), "COURSE_DATA": str(tmp_path / "data"), **others})

    return settings


@pytest.mark.parametrize(("dataset", "terms"), [
    ("scenes", "CC BY 4.0"), ("coco", "cocodataset.org"), ("flickr8k", "non-commercial"),
    ("{}/flickr8k", "non-commercial"), ("{}/scenes", "your own"), ("{}/mine", "your own"),
])  # fmt: skip
def test_the_terms_are_known_without_the_files(dataset, terms, course, tmp_path):
    for name in ("flickr8k", "scenes", "mine"):
        (tmp_path / name).mkdir()
    assert terms in terms_of(course(dataset.format(tmp_path)))


@pytest.fixture
def pictures_folder(tmp_path):
    """Twelve pictures with two captions each."""
    names = [f"p{number}.jpg" for number in range(12)]
    rows = [f'p{number}.jpg,"Picture {number}, {way}."' for way in ("seen", "told") for number in range(12)]
    return own_folder(tmp_path / "mine", names, "\n".join(["file,caption", *rows]))


@pytest.fixture
def zips_folder(tmp_path):
    """A user's folder in form 2."""
    train, val = ({name: picture(number) for number, name in enumerate(names)} for names in (TRAIN, VAL))
    return write_data_set(tmp_path / "zipped", train, val)


def contents(folder: Path) -> dict[Path, tuple[int, int]]:
    return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in folder.rglob("*")}


def all_splits(files) -> list[set[str]]:
    """Names of the images of each split, after a look at whether captions and images fit."""
    for zip_path, member in files.splits:
        assert set(read_captions(files.captions_zip, member)) == set(images_by_name(zip_path))
    return [set(images_by_name(zip_path)) for zip_path, _ in files.splits]


# The scenes


def test_scenes_are_drawn_once_and_again_for_another_seed(course, monkeypatch):
    monkeypatch.setattr(Settings, "scene_counts", {"train": 6, "val": 2, "test": 3})

    def draw(seed):
        files = get_dataset(course("scenes", COURSE_SEED=seed))
        return files, [path.stat().st_mtime_ns for path in files.zips]

    files, times = draw("0")
    assert [len(names) for names in all_splits(files)] == [6, 2, 3]
    with zipfile.ZipFile(files.captions_zip) as archive:
        assert {files.train_instances, files.val_instances, files.test_instances} <= set(archive.namelist())
    assert draw("0") == (files, times)
    others = draw("1")[1]
    assert not set(times) & set(others)
    files.val_zip.unlink()
    assert not set(others) & set(draw("1")[1])


def test_what_is_stale_is_built_again_after_a_failure_or_a_change(tmp_path):
    output, made = tmp_path / "output", []

    def make(fail=False):
        made.append(fail)
        output.touch()
        if fail:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_if_stale(tmp_path, {"a": 1}, [output], partial(make, fail=True))
    for inputs in ({"a": 1}, {"a": 1}, {"a": 2}, {"a": 2}):
        build_if_stale(tmp_path, inputs, [output], make)
    assert made == [True, False, False]


# Folders, form 1: pictures and a table


def test_pictures_are_split_with_all_captions_on_one_side(course, pictures_folder):
    before = contents(pictures_folder)
    files = get_dataset(course(pictures_folder))
    train, val = all_splits(files)
    assert train | val == {f"p{number}.jpg" for number in range(12)}
    assert len(val) == 2
    captions = {
        name: group for _, member in files.splits for name, group in read_captions(files.captions_zip, member).items()
    }
    assert captions["p3.jpg"] == ["Picture 3, seen.", "Picture 3, told."]
    with zipfile.ZipFile(files.val_zip) as archive:
        for info in archive.infolist():
            assert archive.read(info) == (pictures_folder / info.filename).read_bytes()
            assert info.compress_type == zipfile.ZIP_STORED
    assert contents(pictures_folder) == before
    assert {path.parent for path in files.zips} == {course(pictures_folder).dataset_folder}


def test_the_seed_decides_the_split():
    names = [f"{number}.jpg" for number in range(60)]
    assert split_by_seed(names, 1) == split_by_seed(reversed(names), 1)
    assert split_by_seed(names, 1) != split_by_seed(names, 2)
    assert [len(names) for names in split_by_seed(names, 0)] == [50, 10]
    assert [len(names) for names in split_by_seed(names[:2], 0)] == [1, 1]


def test_a_folder_is_converted_again_only_when_it_changed(course, pictures_folder):
    def converted():
        return contents(get_dataset(course(pictures_folder)).train_zip.parent)

    first = converted()
    assert converted() == first
    os.utime(pictures_folder / "p0.jpg", ns=(1, 1))
    assert converted() != first


@pytest.mark.skipif(os.name != "posix", reason="Windows has no files of these names")
@pytest.mark.parametrize("names", [
    ["A: sunset.jpg", "b.jpg"], ["a\\b.jpg", "b.jpg"], ["x\\..\\b.jpg", "b.jpg"], [" a.jpg", "a.jpg"],
    ["th\u00e9.jpg", "the\u0301.jpg"], ["a/1.jpg", "b/1.jpg", "a_1.jpg"], ["a:b.jpg", "a\\b.jpg", "a_b.jpg"],
])  # fmt: skip
def test_every_picture_keeps_its_captions_whatever_it_is_called(names, course, tmp_path):
    table = "".join(f"{name},Number {number}.\n" for number, name in enumerate(names))
    files = get_dataset(course(own_folder(tmp_path / "odd", names, table)))
    all_splits(files)
    for zip_path, member in files.splits:
        for name, captions in read_captions(files.captions_zip, member).items():
            with zipfile.ZipFile(zip_path) as archive:
                assert captions == [f"Number {list(map(picture, range(len(names)))).index(archive.read(name))}."]


def test_names_are_found_in_other_spellings(course, tmp_path):
    """Spaces around them, accents as characters of their own or not, and paths of Windows."""
    names = ["une\u0301.jpg", "th\u00e9.jpg", "b.jpg", "monday/1.jpg", "tuesday/1.jpg"]
    table = "un\u00e9.jpg,1.\nthe\u0301.jpg,2.\n b.jpg ,3.\nmonday/1.jpg,4.\n./tuesday\\1.jpg,5.\n"
    train, val = all_splits(get_dataset(course(own_folder(tmp_path / "mine", names, table))))
    assert train | val == {"une\u0301.jpg", "th\u00e9.jpg", "b.jpg", "monday_1.jpg", "tuesday_1.jpg"}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("header", ["", "file,caption\n", "image,Caption\r\n"])
def test_tables_in_their_usual_forms(header, encoding, tmp_path):
    path = tmp_path / "captions.csv"
    text = header + 'a.jpg,"A dog, a ""big"" one."\n\nb.jpg,Ein Bär\na.jpg,\na.jpg,A dog.\n'
    path.write_text(text, encoding=encoding, newline="")
    assert read_caption_file(path) == {"a.jpg": ['A dog, a "big" one.', "A dog."], "b.jpg": ["Ein Bär"]}


@pytest.mark.parametrize(("content", "named"), [
    (b"a.jpg,A dog, running.\n", "Row 1 .*3 columns"), (b"file,caption\na.jpg,A dog.\nb.jpg\n", "Row 3 .*1 columns"),
    (b'a.jpg,"A dog.\n', "Row 1 "), ("a.jpg,Ein Bär".encode("latin-1"), "UTF-8"),
])  # fmt: skip
def test_tables_that_cannot_be_read(content, named, tmp_path):
    (tmp_path / "captions.csv").write_bytes(content)
    with pytest.raises(CourseError, match=named) as caught:
        read_caption_file(tmp_path / "captions.csv")
    assert str(tmp_path / "captions.csv") in str(caught.value)


@pytest.mark.parametrize(("table", "named"), [
    ("lost.jpg,A picture.\np1.jpg,A picture.\np2.jpg,Another.\n", r"not in the folder: 1 \(lost\.jpg\)"),
    ("../secret.jpg,A secret.\np1.jpg,A picture.\np2.jpg,Another.\n", r"secret\.jpg"),
    ("p1.jpg,A picture.\np1.jpg,The same.\n", "At least two are needed"),
])  # fmt: skip
def test_tables_that_do_not_fit_the_folder_are_refused(course, pictures_folder, table, named):
    (pictures_folder.parent / "secret.jpg").touch()
    (pictures_folder / "captions.csv").write_text(table)
    with pytest.raises(CourseError, match=named):
        get_dataset(course(pictures_folder))


def test_a_picture_without_captions_is_left_out_and_named(course, pictures_folder, capsys):
    (pictures_folder / "extra.png").write_bytes(b"")
    train, val = all_splits(get_dataset(course(pictures_folder)))
    assert "extra.png" not in train | val
    assert "captions.csv has no caption for them: 1 (extra.png)" in capsys.readouterr().out


# Folders, form 2: zips


def test_zips_are_used_where_they_are(course, zips_folder, capsys):
    for other in ("train_sample.zip", "Flickr8k_text.zip"):
        (zips_folder / other).touch()
    before = contents(zips_folder)
    files = get_dataset(course(zips_folder))
    assert {path.parent for path in files.zips} == {zips_folder}
    assert all_splits(files) == [set(TRAIN), set(VAL)] and files.scored[0] == files.val_zip
    assert files.train_json == "captions_train.json"
    assert contents(zips_folder) == before and capsys.readouterr().out == ""


@pytest.mark.parametrize(("extra", "named"), [
    ("train2.zip", r"train\.zip and train2\.zip"), ("validation.zip", r"val\.zip and validation\.zip"),
    ("annotations.zip", r"annotations\.zip and captions\.zip"),
    ("captions.csv", "two data sets"), ("a.token b.token.txt", r"a\.token and b\.token\.txt"),
])  # fmt: skip
def test_two_candidates_are_both_named(course, zips_folder, extra, named):
    for name in extra.split():
        write_zip(zips_folder / name, {})
    with pytest.raises(CourseError, match=named):
        get_dataset(course(zips_folder))


@pytest.mark.parametrize(("names", "missing"), [
    ("val", r"val\*"), ("captions", r"captions\*.zip or annotations\*"), ("train val captions", r"captions\.csv"),
])  # fmt: skip
def test_missing_pieces_are_named_with_both_forms(course, zips_folder, names, missing):
    for name in names.split():
        (zips_folder / f"{name}.zip").unlink()
    with pytest.raises(CourseError, match=rf"holds no {missing}.*captions\.csv .*train\*\.zip"):
        get_dataset(course(zips_folder))


@pytest.mark.parametrize(("names", "wrong"), [
    (["other.jpg"], r"no caption for any picture.*val\.zip.*other\.jpg"),
    (["a/v0.jpg", "b/v0.jpg"], r"two pictures called v0\.jpg"),
])  # fmt: skip
def test_pictures_of_another_data_set_or_of_the_same_name_are_named(course, zips_folder, names, wrong):
    picture_zip(zips_folder / "val.zip", names)
    with pytest.raises(CourseError, match=wrong):
        get_dataset(course(zips_folder))


def test_pictures_without_captions_are_left_out_of_a_copy(course, zips_folder, capsys):
    picture_zip(zips_folder / "train.zip", [*TRAIN[1:], "extra.jpg"])
    before = contents(zips_folder)
    for _ in range(2):
        files = get_dataset(course(zips_folder))
        assert set(images_by_name(files.train_zip)) == set(TRAIN[1:])
        assert files.val_zip.parent == zips_folder
    out = capsys.readouterr().out
    assert out.count("extra.jpg") == 1
    assert out.count("train.zip does not hold: 1 (t0.jpg)") == 1
    assert contents(zips_folder) == before
    picture_zip(zips_folder / "train.zip", TRAIN)
    assert get_dataset(course(zips_folder)).train_zip.parent == zips_folder


# Small runs


def test_a_small_run_takes_a_sample(course, zips_folder, monkeypatch):
    settings = course(zips_folder, COURSE_SIZE="small")
    monkeypatch.setattr(datasets, "SAMPLE_SIZE", (3, 24))
    files = get_dataset(settings)
    train, val = (set(images_by_name(zip_path)) for zip_path, _ in files.splits)
    assert len(train) == 3 and train < set(TRAIN) and val == set(VAL)
    assert files.captions_zip == zips_folder / "captions.zip"
    assert files.train_zip.parent == settings.dataset_folder
    before = contents(settings.dataset_folder)
    assert get_dataset(settings) == files
    assert contents(settings.dataset_folder) == before


def test_a_damaged_picture_is_left_out_of_a_sample_and_named(course, zips_folder, capsys):
    path = write_zip(zips_folder / "val.zip", {name: name.encode() for name in VAL}, zipfile.ZIP_STORED)
    path.write_bytes(path.read_bytes().replace(b"v1.jpgv1.jpg", b"v1.jpgv?.jpg"))
    files = get_dataset(course(zips_folder, COURSE_SIZE="small"))
    assert set(images_by_name(files.val_zip)) == {"v0.jpg"}
    assert "cannot be read: 1 (v1.jpg)" in capsys.readouterr().out


# Data sets that are downloaded


def test_coco_is_downloaded(course, publish):
    folder, publish_files = publish
    picture_zip(folder / "train2014.zip", [f"train2014/{name}" for name in TRAIN])
    picture_zip(folder / "val2014.zip", [f"val2014/{name}" for name in VAL])
    names = {"train": TRAIN, "val": VAL}
    described = {split: captions_json(dict.fromkeys(names[split], ["A picture."])) for split in names}
    members = {f"annotations/captions_{split}2014.json": json.dumps(described[split]) for split in names}
    write_zip(folder / "annotations_trainval2014.zip", members)
    publish_files()
    files = get_dataset(course("coco"))
    assert all_splits(files) == [set(TRAIN), set(VAL)]
    assert "Attribution" in files.licence


FLICKR8K_SPLIT = {"train": ["f0.jpg", "f1.jpg", "f2.jpg"], "dev": ["f3.jpg", "f4.jpg"], "test": ["f5.jpg"]}


def token_lines(names: list[str]) -> str:
    return "".join(f"{name}#{n}\tPicture {name} .\n" for name in names for n in range(5))


@pytest.fixture
def flickr8k(publish, course):
    """Settings of Flickr8k, which is published, a few pictures large."""
    folder, publish_files = publish
    names = [*(name for split in FLICKR8K_SPLIT.values() for name in split), "of_no_split.jpg"]
    pictures = [f"Flicker8k_Dataset/{name}" for name in names]
    picture_zip(folder / "Flickr8k_Dataset.zip", [*pictures, "__MACOSX/._f0.jpg"])
    lists = {f"Flickr_8k.{part}Images.txt": "\n".join(split) for part, split in FLICKR8K_SPLIT.items()}
    texts = {"Flickr8k.token.txt": token_lines(names), "__MACOSX/._Flickr8k.token.txt": "", **lists}
    write_zip(folder / "Flickr8k_text.zip", texts)
    publish_files()
    return course("flickr8k")


def test_flickr8k_is_converted_with_its_official_split(flickr8k):
    files = get_dataset(flickr8k)
    assert all_splits(files) == list(map(set, FLICKR8K_SPLIT.values()))
    assert files.scored == (flickr8k.dataset_folder / "test_flickr8k.zip", "annotations/captions_test.json")
    assert all(len(group) == 5 for group in read_captions(files.captions_zip, files.train_json).values())
    (flickr8k.dataset_folder / "Flickr8k_Dataset.zip").unlink()
    assert get_dataset(flickr8k) == files, "once converted, the download is not needed"
    assert not (flickr8k.dataset_folder / "Flickr8k_Dataset.zip").exists()


def test_flickr8k_that_was_converted_without_its_test_pictures_is_used_as_it_is(flickr8k):
    files = get_dataset(flickr8k)
    files.test_zip.unlink()
    (flickr8k.dataset_folder / "Flickr8k_Dataset.zip").rename(flickr8k.data_folder / "elsewhere.zip")
    assert get_dataset(flickr8k).zips == (files.train_zip, files.val_zip, files.captions_zip)
    (flickr8k.data_folder / "elsewhere.zip").rename(flickr8k.data_folder / "Flickr8k_Dataset.zip")
    assert get_dataset(flickr8k) == files and files.test_zip.exists(), "with the download at hand it is made whole"


@pytest.mark.skipif(not FLICKR8K.exists(), reason="Flickr8k is not in ../shared/flickr8k")
def test_the_official_split_of_the_real_flickr8k(course):
    lists = [set(names) for names in flickr.read_official_split(FLICKR8K / "Flickr8k_text.zip")]
    assert [len(names) for names in lists] == [6000, 1000, 1000]
    assert all_splits(get_dataset(course(FLICKR8K))) == lists[:2]


@pytest.mark.parametrize("zipped", [False, True])
def test_flickr30k_must_be_asked_for_and_is_converted_then(course, zipped):
    settings = course("flickr30k")
    names = [f"{number}.jpg" for number in range(12)]
    with pytest.raises(CourseError, match=rf"on request.*zip and results.*token.* into {settings.dataset_folder}"):
        get_dataset(settings)
    picture_zip(settings.dataset_folder / "flickr30k-images.zip", [f"flickr30k-images/{name}" for name in names])
    if zipped:
        write_zip(settings.dataset_folder / "flickr30k.zip", {"text/results_20130124.token": token_lines(names)})
    else:
        (settings.dataset_folder / "results_20130124.token").write_text(token_lines(names))
    files = get_dataset(settings)
    assert list(map(len, all_splits(files))) == [10, 2]
    before = contents(settings.dataset_folder)
    get_dataset(settings)
    assert contents(settings.dataset_folder) == before

"""Karpathy's split: downloaded from a server on this machine, applied, trained with and scored on its test pictures."""

import json
import zipfile
from pathlib import Path

import pytest
from caption_samples import write_tiny_encoder
from hostile_files import write_zip
from record_samples import picture

from say_what_you_see.commands.main import main
from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.settings import read_settings
from say_what_you_see.data.coco_format import images_by_name, read_captions
from say_what_you_see.data.datasets import get_dataset
from say_what_you_see.data.karpathy import SPLIT_ZIP
from say_what_you_see.evaluation.coco_results import read_coco_results

COUNTS = {"train": 8, "restval": 4, "val": 3, "test": 4}


def published(coco: bool = True) -> dict:
    """A split in the form that Karpathy published, as far as it is read, in the opposite order."""
    images = []
    for number, split in enumerate(split for split, count in COUNTS.items() for _ in range(count)):
        folder = "train2014" if split == "train" else "val2014"
        said = [{"raw": f"A {('red', 'green')[number % 2]} thing, number {n}. "} for n in range(5)]
        image = {"imgid": number, "split": split, "sentences": said}
        if coco:
            image |= {"filepath": folder, "filename": f"COCO_{folder}_{number:012}.jpg", "cocoid": 900 + number}
        else:
            image |= {"filename": f"{number}_ab.jpg", "split": "train" if split == "restval" else split}
        images.append(image)
    return {"images": images[::-1]}


def write_pictures(path: Path, images: list[dict], folder: str) -> Path:
    return write_zip(path, {f"{folder}/{image['filename']}": picture(image["imgid"]) for image in images})


@pytest.fixture
def coco(publish):
    """COCO, a few pictures large, on the server."""
    folder, publish_files = publish
    data = published()
    for name in ("train2014", "val2014"):
        images = [image for image in data["images"] if image["filepath"] == name]
        write_pictures(folder / f"{name}.zip", images, name)
    write_zip(folder / SPLIT_ZIP, {"dataset_coco.json": json.dumps(data)})
    publish_files()
    return folder


@pytest.fixture
def environ(tmp_path) -> dict[str, str]:
    data, encoder = tmp_path / "data", write_tiny_encoder(tmp_path / "tiny.keras")
    return {"DATASET": "coco", "COURSE_SPLIT": "karpathy", "COURSE_DATA": str(data), "ENCODER": str(encoder)}


def test_restval_is_trained_with_and_each_split_has_its_pictures_and_captions(coco, environ):
    settings = read_settings(environ)
    files = get_dataset(settings)
    assert settings.dataset_folder.name == "coco_karpathy"
    assert [len(images_by_name(path)) for path, _ in files.splits] == [12, 3, 4]
    for path, member in files.splits:
        captions = read_captions(files.captions_zip, member)
        assert captions.keys() == images_by_name(path).keys()
        assert all(len(group) == 5 and group[0].endswith("number 0.") for group in captions.values())
    with zipfile.ZipFile(files.captions_zip) as archive:
        images = json.loads(archive.read(files.scored[1]))["images"]
    assert {image["id"] for image in images} == {915, 916, 917, 918}, "COCO's own numbers"
    with zipfile.ZipFile(files.scored[0]) as archive:
        assert archive.read("COCO_val2014_000000000015.jpg") == picture(15)


def test_flickr30k_needs_all_of_its_pictures_and_them_only(publish, environ):
    folder, publish_files = publish
    data = published(coco=False)
    write_zip(folder / SPLIT_ZIP, {"nested/notes.txt": "", "dataset_flickr30k.json": json.dumps(data)})
    publish_files()
    settings = read_settings(environ | {"DATASET": "flickr30k"})
    with pytest.raises(CourseError, match=r"on request only.*flickr30k-images\.zip into"):
        get_dataset(settings)
    pictures = settings.data_folder / "flickr30k" / "flickr30k-images.zip"
    write_pictures(pictures, data["images"][2:], "flickr30k-images")
    with pytest.raises(CourseError, match=r"2 \(17_ab\.jpg, 18_ab\.jpg\)"):
        get_dataset(settings)
    assert not list(settings.dataset_folder.glob("*.zip"))
    write_pictures(pictures, data["images"], "flickr30k-images")
    files = get_dataset(settings)
    assert [len(images_by_name(path)) for path, _ in files.splits] == [12, 3, 4]
    assert "Karpathy" in files.source and "research" in files.licence


def test_the_commands_train_on_one_split_and_score_another(coco, environ, monkeypatch, capsys):
    for name, value in (environ | {"COURSE_SIZE": "small"}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("COURSE_SPLIT")
    for command in ("resources", "embed", "prepare", "train"):
        assert main([command, "--split", "karpathy"]) == 0, capsys.readouterr().err
    capsys.readouterr()
    assert main(["evaluate", "--split", "karpathy", "--no-java"]) == 0
    output = capsys.readouterr().out
    assert "4 test pictures" in output and "as caption does" in output
    settings = read_settings(environ | {"COURSE_SIZE": "small"})
    results = read_coco_results(settings.work_folder / "evaluation" / "results_decoder_greedy.json")
    assert sorted(results) == [915, 916, 917, 918]

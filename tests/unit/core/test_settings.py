"""The settings: defaults, names, paths and what is refused."""

import os

import pytest

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import read_json, write_json
from say_what_you_see.core.settings import REPOSITORY, read_settings


def test_empty_values_are_defaults():
    assert read_settings(dict.fromkeys(["DATASET", "ENCODER", "COURSE_SIZE", "COURSE_SEED"], "")) == read_settings({})


def test_relative_paths_count_from_where_the_user_started(tmp_path, monkeypatch):
    start, elsewhere = tmp_path / "start", tmp_path / "elsewhere"
    for folder in (start / "Holiday Photos", elsewhere / "Holiday Photos"):
        folder.mkdir(parents=True)
    (start / "my.keras").touch()
    monkeypatch.chdir(elsewhere)
    environ = {"DATASET": "Holiday Photos", "ENCODER": "my.keras", "COURSE_DATA": "out", "COURSE_START": str(start)}
    settings = read_settings(environ)
    assert settings.dataset == str(start / "Holiday Photos")
    assert settings.encoder == str(start / "my.keras")
    assert settings.data_folder == start / "out"
    here = read_settings({"DATASET": "Holiday Photos"})
    assert here.dataset == str(elsewhere / "Holiday Photos")
    assert here.dataset_name.startswith("holiday_photos")
    assert here.dataset_name != settings.dataset_name, "folders of the same name must not share their results"


def test_a_known_name_wins_over_a_folder(tmp_path, monkeypatch):
    (tmp_path / "coco").mkdir()
    monkeypatch.chdir(tmp_path)
    assert read_settings({"DATASET": "coco"}).dataset == "coco"
    assert read_settings({"DATASET": "./coco"}).dataset == str(tmp_path / "coco")


@pytest.mark.parametrize(("name", "value", "named"), [
    ("DATASET", "cocoa", "flickr8k"), ("DATASET", "say_what_you_see/core/settings.py", "is a file"),
    ("ENCODER", "not/a/name", "inception_v3"), ("ENCODER", "missing.keras", "no such file"),
    ("DATASET", "~no_such_user/photos", "not a possible path"), ("COURSE_DATA", "~no_such_user", "not a possible path"),
    ("COURSE_SIZE", "tiny", "full, small"), ("COURSE_PRECISION", "float16", "float32, bfloat16"),
    *(("COURSE_SEED", seed, "whole number") for seed in ("-1", "one", "4294967296", "9" * 5000)),
])  # fmt: skip
def test_unknown_values_are_named(name, value, named, monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    with pytest.raises(CourseError, match=named) as caught:
        read_settings({name: value})
    assert value[:1000] in str(caught.value)


@pytest.mark.parametrize("name", ["x" * 250, os.fsdecode(b"gr\xfcn")], ids=["long", "Latin-1"])
def test_any_folder_is_a_data_set(name, tmp_path):
    (tmp_path / name).mkdir()
    settings = read_settings({"DATASET": str(tmp_path / name), "COURSE_DATA": str(tmp_path / name)})
    settings.work_folder.mkdir(parents=True)
    write_json({"dataset": settings.dataset}, settings.work_folder / "settings.json")
    assert read_json(settings.work_folder / "settings.json") == {"dataset": settings.dataset}


def test_an_installed_package_keeps_its_files_in_the_users_home(monkeypatch, tmp_path):
    monkeypatch.setattr("say_what_you_see.core.settings.IN_CHECKOUT", False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    folder = read_settings({}).data_folder
    assert folder.name == "say-what-you-see" and REPOSITORY not in folder.parents

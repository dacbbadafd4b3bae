"""The course without notebooks: `say-what-you-see COMMAND`, from pictures to captions."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from say_what_you_see.commands import main as cli
from say_what_you_see.commands.main import main
from say_what_you_see.core import environment
from say_what_you_see.core.environment import Check
from say_what_you_see.core.settings import REPOSITORY
from say_what_you_see.course.decoder import load_vocabulary

COMMANDS = ("resources", "embed", "prepare", "train", "caption")


@pytest.fixture
def photos(finished_course, tmp_path) -> list[Path]:
    """Two validation pictures as files of different formats."""
    with zipfile.ZipFile(finished_course.settings.dataset_folder / "val_scenes.zip") as archive:
        names = archive.namelist()[:2]
        paths = [tmp_path / "one.jpg", tmp_path / "two with a space.png"]
        paths[0].write_bytes(archive.read(names[0]))
        with archive.open(names[1]) as file, Image.open(file) as picture:
            picture.save(paths[1])
    return paths


def captions_in(output: str, photos: list[Path]) -> list[str]:
    """The captions that were printed, one for each photo, in order."""
    lines = output.splitlines()
    assert len(lines) == len(photos)
    for line, photo in zip(lines, photos, strict=True):
        assert line.startswith(f"{photo}: ")
    return [line.removeprefix(f"{photo}: ") for line, photo in zip(lines, photos, strict=True)]


def test_every_step_says_what_it_made(finished_course):
    assert set(finished_course.statuses.values()) == {0}
    outputs, settings = finished_course.outputs, finished_course.settings
    for name in ("train_scenes.zip", "val_scenes.zip", "captions_scenes.zip", "sha256", "Licence: "):
        assert name in outputs["resources"]
    assert outputs["embed"].splitlines()[-1] == "Embeddings: train (48, 8), val (24, 8)"
    assert f"Vocabulary: {len(load_vocabulary(settings))} words" in outputs["prepare"]
    assert outputs["train"].splitlines()[-1] == f"Model: {settings.model_folder}"
    assert (settings.model_folder / "model.json").exists()


def test_pictures_are_captioned(course_environ, photos, capsys):
    assert main(["caption", *map(str, photos)]) == 0
    first = capsys.readouterr().out
    vocabulary = load_vocabulary(course_environ.settings)
    for caption in captions_in(first, photos):
        assert 0 < len(caption.split()) <= 20
        assert set(caption.split()) <= set(vocabulary)
    folder = str(course_environ.settings.model_folder)
    assert main(["caption", *map(str, photos), "--model", folder]) == 0
    assert capsys.readouterr().out == first


def test_captions_are_as_short_as_asked_for(course_environ, photos, capsys):
    assert main(["caption", str(photos[0])]) == 0
    [whole] = captions_in(capsys.readouterr().out, photos[:1])
    assert main(["caption", "--max-len", "2", str(photos[0])]) == 0
    assert captions_in(capsys.readouterr().out, photos[:1]) == [" ".join(whole.split()[:2])]


def test_a_bad_picture_is_named_and_the_others_are_captioned(course_environ, photos, tmp_path, capsys):
    (tmp_path / "text.jpg").write_text("no picture")
    (tmp_path / "half.jpg").write_bytes(photos[0].read_bytes()[:2000])
    bad = [tmp_path / name for name in ("text.jpg", "half.jpg", "missing.jpg")]
    assert main(["caption", *map(str, [bad[0], photos[0], *bad[1:], photos[1]])]) == 1
    output = capsys.readouterr()
    assert all(captions_in(output.out, photos))
    errors = [line for line in output.err.splitlines() if line.startswith("Error: ")]
    assert len(errors) == len(bad)
    for path, error in zip(bad, errors, strict=True):
        assert str(path) in error


@pytest.mark.parametrize(("arguments", "named"), [
    (["resources", "--dataset", "cocoa"], ["cocoa", "scenes", "coco", "flickr8k", "flickr30k", "folder"]),
    (["embed", "--encoder", "nowhere.keras"], ["nowhere.keras"]),
    (["embed", "--encoder", "inception-v3"], ["inception-v3", "inception_v3", ".keras"]),
    (["embed", "--encoder", "inception_v33"], ["inception_v33", "inception_v3", "vgg16"]),
    (["train", "--seed", "-1"], ["COURSE_SEED", "-1"]),
])  # fmt: skip
def test_unknown_settings_are_explained(arguments, named, course_environ, capsys):
    assert main(arguments) == 1
    output = capsys.readouterr()
    assert output.err.startswith("Error: ") and "Traceback" not in output.err
    for text in named:
        assert text in output.err


@pytest.mark.parametrize(("command", "named"), [
    ("prepare", ["train_img_embeds.npy", "02_extract_embeddings", "say-what-you-see embed"]),
    ("train", ["vocabulary.json", "03_prepare_captions", "say-what-you-see prepare"]),
    ("caption", ["no finished caption model", "say-what-you-see train", "--model"]),
])  # fmt: skip
def test_steps_that_come_too_early_name_the_one_before(command, named, course_environ, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COURSE_DATA", str(tmp_path))
    assert main([command, *(["photo.jpg", "--dataset", "coco"] if command == "caption" else [])]) == 1
    error = capsys.readouterr().err
    for text in named:
        assert text in error


def test_options_come_before_the_environment(course_environ, monkeypatch):
    seen = {}
    monkeypatch.setitem(cli._RUN, "train", lambda settings, options: seen.update(settings=settings) or 0)
    assert main(["train", "--size", "full", "--seed", "7", "--encoder", "vgg16", "--dataset", "coco"]) == 0
    settings = seen["settings"]
    assert (settings.size, settings.seed, settings.encoder, settings.dataset) == ("full", 7, "vgg16", "coco")
    assert settings.data_folder == course_environ.settings.data_folder
    assert main(["train"]) == 0
    assert seen["settings"] == course_environ.settings


def test_an_interruption_says_how_to_go_on(course_environ, monkeypatch, capsys):
    def interrupt(settings, options):
        raise KeyboardInterrupt

    monkeypatch.setitem(cli._RUN, "embed", interrupt)
    assert main(["embed"]) == 130
    assert "goes on where it was" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [
    [], ["paint"], ["train", "--size", "tiny"], ["train", "--seed", "one"], ["caption"],
    *(["caption", "a.jpg", "--max-len", number] for number in ("0", "-3", "x")),
])  # fmt: skip
def test_a_wrong_command_line_ends_with_the_usage(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith("usage: say-what-you-see")


def test_help_explains_every_command(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    for command in COMMANDS:
        assert re.search(rf"^ +{command}\s+\w", text, re.MULTILINE)
        with pytest.raises(SystemExit):
            main([command, "--help"])
        own = capsys.readouterr().out
        assert "--dataset" in own and "--encoder" in own
        assert ("--max-len" in own) == ("PHOTO" in own) == (command == "caption")


def test_help_does_not_wait_for_keras():
    code = "import sys, say_what_you_see.commands.main; say_what_you_see.commands.main.build_parser(); sys.exit('keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=False).returncode == 0


def test_environment_prints_the_checks_and_fails_with_them(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COURSE_DATA", str(tmp_path))
    monkeypatch.setattr(environment, "check_environment", lambda settings: [Check("memory", True, "8 GB")])
    assert main(["environment"]) == 0
    assert "[OK]   memory: 8 GB" in capsys.readouterr().out
    monkeypatch.setattr(environment, "check_environment", lambda settings: [Check("memory", False, "1 GB", "Buy.")])
    assert main(["environment"]) == 1
    assert "[FAIL] memory: 1 GB\n       -> Buy." in capsys.readouterr().out

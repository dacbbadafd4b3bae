"""The commands of training at scale, one after another, as a user would give them."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pytest

from say_what_you_see.commands import scale as cli_scale
from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.settings import Settings
from say_what_you_see.training.scale.events import read_scalars

COMMANDS = ("records", "train-records", "evaluate-records", "run-inference")


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="say-what-you-see")
    cli_scale.add_commands(made.add_subparsers(dest="command", required=True))
    return made


def run(settings: Settings, *arguments: str) -> int:
    options = parser().parse_args(arguments)
    return cli_scale.RUN[options.command](settings, options)


def test_from_pictures_to_captions(course_environ, tmp_path, capsys):
    settings, records, folder = course_environ.settings, tmp_path / "records", tmp_path / "im2txt"
    places = ["--records", str(records), "--folder", str(folder)]
    assert run(settings, "records", "--records", str(records), "--train-shards", "2", "--val-shards", "1") == 0
    assert "train          2        48       240" in capsys.readouterr().out
    assert len(list(records.glob("train-?????-of-00002"))) == 2

    training = ["train-records", *places, "--batch-size", "8", "--log-every", "1"]
    assert run(settings, *training, "--units", "12", "--steps", "3", "--learning-rate", "0.01") == 0
    assert f"Step 3, checkpoints in {folder / 'train'}" in capsys.readouterr().out
    assert run(settings, *training, "--train-inception", "--steps", "5", "--warm-up", "4") == 0, "sizes as before"
    rates = dict(read_scalars(folder / "train")["learning_rate"])
    assert rates[3] == pytest.approx(0.01, rel=1e-3) and rates[4] == pytest.approx(5e-5 / 2)

    assert run(settings, "evaluate-records", *places, "--once") == 0
    found = re.findall(r"^step (\d+): perplexity (\S+), loss", capsys.readouterr().out, re.MULTILINE)
    assert [step for step, _ in found] == ["3", "5"] and all(1 < float(value) < 200 for _, value in found)
    assert run(settings, "evaluate-records", *places, "--once") == 0
    assert "Nothing new" in capsys.readouterr().err

    photo = tmp_path / "photo.png"
    from PIL import Image

    Image.new("RGB", (40, 30), "red").save(photo)
    inference = ["run-inference", "--checkpoint", str(folder / "train")]
    assert run(settings, *inference, "--beam", "2", str(photo)) == 0
    assert re.fullmatch(r"Captions for image photo.png:\n(  \d\) .*\(p=0\.\d{6}\)\n){2}", capsys.readouterr().out)


def test_places_follow_from_the_settings(course_environ, capsys):
    settings = course_environ.settings
    with pytest.raises(CourseError, match=re.escape(str(settings.work_folder / "im2txt" / "train"))):
        run(settings, "run-inference", "photo.jpg")


def test_a_training_without_records_says_what_to_do(course_environ, tmp_path):
    with pytest.raises(CourseError, match="say-what-you-see records"):
        run(course_environ.settings, "train-records", "--records", str(tmp_path), "--steps", "1")


@pytest.mark.parametrize("arguments", [
    ["train-records"], ["train-records", "--steps", "0"], ["train-records", "--steps", "1", "--dropout", "1"],
    ["train-records", "--steps", "1", "--learning-rate", "0"], ["train-records", "--steps", "1", "--decay", "x"],
    ["records", "--val-shards", "-1"], ["run-inference"], ["evaluate-records", "--shards", "train"],
])  # fmt: skip
def test_a_wrong_command_line_ends_with_the_usage(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        parser().parse_args(arguments)
    assert caught.value.code == 2
    assert "usage: say-what-you-see" in capsys.readouterr().err


@pytest.mark.parametrize("command", COMMANDS)
def test_help_explains(command, capsys):
    with pytest.raises(SystemExit):
        parser().parse_args([command, "--help"])
    text = capsys.readouterr().out
    for option in ("--dataset", "--encoder", "--size", "--seed"):
        assert option in text
    assert Path("utils").name in text


def test_there_is_a_function_for_every_command():
    assert set(cli_scale.RUN) == set(COMMANDS)

"""The course without notebooks: `say-what-you-see COMMAND`, from pictures to captions."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import pytest

from say_what_you_see.commands import embed, environment, train
from say_what_you_see.commands.main import main
from say_what_you_see.commands.parser import COMMANDS
from say_what_you_see.core.environment import Check
from say_what_you_see.core.settings import REPOSITORY


@pytest.mark.parametrize(("arguments", "named"), [
    # options that do not go
    (["resources", "--dataset", "cocoa"], ["cocoa", "scenes", "coco", "flickr8k", "flickr30k", "folder"]),
    (["embed", "--encoder", "nowhere.keras"], ["nowhere.keras"]),
    (["embed", "--encoder", "inception-v3"], ["inception-v3", "inception_v3", ".keras"]),
    (["embed", "--encoder", "inception_v33"], ["inception_v33", "inception_v3", "vgg16"]),
    (["embed", "--output", "folder"], ["--output is for --engine ray"]),
    (["caption", "photo.jpg", "--retries", "0"], ["--retries is for --engine ray"]),
    (["embed", "--engine", "ray", "--shard-size", "9"], ["--shard-size is only for --input"]),
    (["caption", "photo.jpg", "--engine", "ray"], ["--engine ray needs --output FOLDER"]),
    # steps that come too early name the one before
    (["prepare"], ["train_img_embeds.npy", "02_extract_embeddings", "say-what-you-see embed"]),
    (["train", "--control", "--model", "attention"], ["--control", "notebook 04"]),
    (["caption", "photo.jpg", "--dataset", "coco"], ["no finished caption model", "say-what-you-see train", "--model"]),
    (["run-inference", "photo.jpg"], [str(Path("im2txt") / "train")]),
    (["train-records", "--steps", "1"], ["say-what-you-see records"]),
])  # fmt: skip
def test_what_cannot_be_done_is_explained(arguments, named, command, tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_DATA", str(tmp_path))
    _, error = command(*arguments, status=1)
    assert re.search("^Error: ", error, re.MULTILINE) and "Traceback" not in error
    for text in named:
        assert text in error


def test_training_first_makes_what_is_missing(command, tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_DATA", str(tmp_path))
    assert str(tmp_path) in command("train")[0]


def test_options_come_before_the_environment(command, course_environ, monkeypatch):
    seen = []
    monkeypatch.setattr(train, "train", lambda settings, options: seen.append(settings) or 0)
    command("train", "--size", "full", "--seed", "7", "--encoder", "vgg16", "--dataset", "coco")
    command("train")
    given, from_environment = seen
    assert (given.size, given.seed, given.encoder, given.dataset) == ("full", 7, "vgg16", "coco")
    assert given.data_folder == course_environ.settings.data_folder
    assert from_environment == course_environ.settings


def test_an_interruption_says_how_to_go_on(command, monkeypatch):
    monkeypatch.setattr(embed, "prepare", Mock(side_effect=KeyboardInterrupt))
    _, error = command("prepare", status=130)
    assert "what is finished and on the disk is not done again" in error


@pytest.mark.parametrize("arguments", [
    [], ["paint"], ["train", "--size", "tiny"], ["caption"], ["model"], ["model", "install"], ["run-inference"],
    *(["train", "--seed", number] for number in ("one", "-1", "9" * 5000)),
    ["caption", "a.jpg", "--max-len", "0"], ["caption", "a.jpg", "--beam", "2", "--sample"],
    *(["caption", "a.jpg", option, "1000000"] for option in ("--max-len", "--beam", "--batch-size")),
    *(["caption", "a.jpg", option, "nan"] for option in ("--length-penalty", "--top-p", "--temperature")),
    ["caption", "a.jpg", "--html", ""], ["caption", "a.jpg", "--json", "--html", "a.html"],
    ["demo", "--port", "70000"], ["demo", "photo.jpg"], ["evaluate", "--pictures", "0"],
    ["train-records"], ["train-records", "--steps", "1", "--dropout", "1"], ["records", "--val-shards", "-1"],
], ids=lambda arguments: " ".join(arguments)[:60])  # fmt: skip
def test_a_wrong_command_line_ends_with_the_usage(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    error = capsys.readouterr().err
    assert caught.value.code == 2
    assert error.startswith("usage: say-what-you-see") and len(error.splitlines()[-1]) < 400


needs_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is full")


@needs_full
@pytest.mark.parametrize("closed", ["stdout", "stderr"])
def test_a_stream_that_is_closed_costs_nothing_else(closed, tmp_path):
    command = [sys.executable, "-m", "say_what_you_see", "caption", str(tmp_path / "missing.jpg"), "--json"]
    streams = {"stdout": ">&-", "stderr": "2>&-"}[closed]
    done = subprocess.run(["sh", "-c", f'"$@" {streams}', "sh", *command], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert closed == "stdout" or "missing.jpg" in json.loads(done.stdout)["pictures"][0]["error"]


@needs_full
@pytest.mark.parametrize("output", ["closed", "full"])
def test_output_that_cannot_be_written_ends_without_a_traceback(output):
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "wb") as closed, open("/dev/full", "wb") as full:
        command = [sys.executable, "-m", "say_what_you_see", "resources", "--list"]
        stdout = closed if output == "closed" else full
        ran = subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, cwd=REPOSITORY, text=True, check=False)
    expected = "" if output == "closed" else "Error: No space left on device (the output).\n"
    assert (ran.returncode, ran.stderr) == (1, expected)


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
        assert all(option in own for option in ("--dataset", "--encoder", "--size", "--split", "--seed"))


def test_help_waits_for_nothing_that_is_slow_to_import():
    code = (
        "import sys; from say_what_you_see.commands.parser import build_parser; build_parser().format_help()\n"
        "import say_what_you_see.commands.main; print({'keras', 'numpy', 'PIL', 'requests'} & sys.modules.keys())"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert ran.stdout == "set()\n"


@pytest.mark.parametrize(("check", "status", "line"), [
    (Check("memory", True, "8 GB"), 0, "[OK]   memory: 8 GB"),
    (Check("memory", False, "1 GB", "Buy."), 1, "[FAIL] memory: 1 GB\n       -> Buy."),
])  # fmt: skip
def test_environment_prints_the_checks_and_fails_with_them(check, status, line, command, monkeypatch):
    monkeypatch.setattr(environment, "check_environment", lambda settings: [check])
    output, _ = command("environment", status=status)
    assert line in output

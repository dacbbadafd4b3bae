"""Models are brought in whole or not at all, from folders, zips and addresses."""

from __future__ import annotations

import json
import shutil
import threading
import zipfile
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from caption_samples import write_tiny_encoder
from PIL import Image

from say_what_you_see.commands.main import main
from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import read_json, sha256_of, write_json
from say_what_you_see.serving.model_choice import describe_models, find_model, installed_models, models_folder
from say_what_you_see.serving.model_folder import load_caption_model
from say_what_you_see.serving.model_install import install_model, pack_model


@pytest.fixture
def settings(finished_course, tmp_path):
    return replace(finished_course.settings, data_folder=tmp_path / "elsewhere")


@pytest.fixture
def folder(finished_course, tmp_path) -> Path:
    """A copy of a trained model."""
    return Path(shutil.copytree(finished_course.settings.model_folder, tmp_path / "my model"))


@pytest.fixture
def server(tmp_path, monkeypatch):
    """Serves the temporary folder."""

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(tmp_path)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def check(installed: Path, folder: Path) -> None:
    assert load_caption_model(installed).vocab == load_caption_model(folder).vocab
    assert sorted(path.name for path in installed.iterdir()) == sorted(path.name for path in folder.iterdir())


def test_a_folder_a_zip_and_addresses_bring_the_same_model(settings, folder, server, tmp_path):
    packed = pack_model(folder, tmp_path / "packed.zip")
    checksum = f"sha256:{sha256_of(packed)}"
    check(install_model(str(folder), settings), folder)
    check(install_model(str(packed), settings, checksum=checksum), folder)
    check(install_model(f"{server}/packed.zip", settings, "from_web", checksum), folder)
    check(install_model(f"{server}/my%20model/", settings, "parts"), folder)
    assert installed_models(settings) == ["from_web", "my_model", "packed", "parts"]
    assert find_model("parts", settings) == models_folder(settings) / "parts"
    assert describe_models(settings).count("validation loss") == 4


def test_the_same_model_gives_the_same_zip(folder, tmp_path):
    one, two = (pack_model(folder, tmp_path / name / "model.zip") for name in ("a", "b"))
    assert one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize("damage", ["decoder", "vocabulary", "missing", "json"])
def test_a_damaged_model_leaves_nothing(damage, settings, folder):
    if damage == "decoder":
        (folder / "decoder.keras").write_bytes((folder / "decoder.keras").read_bytes()[:-10])
    elif damage == "vocabulary":
        (folder / "vocabulary.json").write_text(json.dumps(["a"]))
    elif damage == "missing":
        (folder / "decoder.keras").unlink()
    else:
        (folder / "model.json").write_text("{}")
    with pytest.raises(CourseError):
        install_model(str(folder), settings)
    assert not list(models_folder(settings).iterdir())


def test_a_zip_with_another_checksum_is_refused(settings, folder, tmp_path):
    packed = pack_model(folder, tmp_path / "packed.zip")
    with pytest.raises(CourseError, match="checksum"):
        install_model(str(packed), settings, checksum="sha256:" + "0" * 64)
    assert packed.exists() and not installed_models(settings)


def test_only_the_parts_of_a_model_leave_a_zip(settings, folder, tmp_path):
    packed = pack_model(folder, tmp_path / "packed.zip")
    with zipfile.ZipFile(packed, "a") as archive:
        archive.writestr("../../escaped.txt", "no")
        archive.writestr("packed/run.py", "no")
    installed = install_model(str(packed), settings)
    check(installed, folder)
    assert not list(tmp_path.rglob("escaped.txt"))
    with zipfile.ZipFile(packed, "a") as archive:
        archive.writestr("other/model.json", "{}")
    with pytest.raises(CourseError, match=r"model\.json 2 times"):
        install_model(str(packed), settings, "again")


def test_what_is_there_stays(settings, folder):
    install_model(str(folder), settings, "mine")
    with pytest.raises(CourseError, match="already.*--name"):
        install_model(str(folder), settings, "mine")


@pytest.mark.parametrize("source", ["nowhere", "http://127.0.0.1:1/model.zip"])
def test_a_source_that_is_not_there_is_named(source, settings, monkeypatch):
    monkeypatch.setattr("say_what_you_see.data.download.ATTEMPTS", 1)
    with pytest.raises(CourseError, match=source.replace("/", "/")):
        install_model(source, settings)


def test_an_unknown_name_lists_the_known_ones(settings, folder):
    install_model(str(folder), settings, "mine")
    with pytest.raises(CourseError, match=r"no model 'yours'.*mine"):
        find_model("yours", settings)


def test_who_gets_a_model_learns_which_encoder_is_missing_and_where_it_goes(
    course_environ, folder, tmp_path, monkeypatch, capsys
):
    encoder = Path(course_environ.environ["ENCODER"])
    monkeypatch.setenv("COURSE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("ENCODER", "")
    assert main(["model", "pack", "--model", str(folder), str(tmp_path / "trip.zip")]) == 0
    assert "needs the encoder tiny.keras, too" in capsys.readouterr().out
    assert main(["model", "install", str(tmp_path / "trip.zip")]) == 0
    said = capsys.readouterr().out
    assert f"put it into {tmp_path / 'data'}" in said and "--encoder FOLDER/tiny.keras" in said
    Image.new("RGB", (40, 40), "green").save(tmp_path / "photo.png")
    caption = ["caption", "--with-keras", "--model", "trip", str(tmp_path / "photo.png")]
    assert main(caption) == 1
    assert f"Or put it into {tmp_path / 'data'}" in capsys.readouterr().err
    shutil.copy(encoder, tmp_path / "data" / "tiny.keras")
    assert main(caption) == 0


def test_an_encoder_that_is_packed_with_its_model_is_all_that_is_needed(
    course_environ, folder, tmp_path, monkeypatch, capsys
):
    packed = tmp_path / "whole.zip"
    assert main(["model", "pack", "--with-encoder", "--model", str(folder), str(packed)]) == 0
    assert "licence" in capsys.readouterr().out
    monkeypatch.setenv("COURSE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("ENCODER", "")
    assert main(["model", "install", str(packed)]) == 0
    assert "Use it: say-what-you-see caption --model whole PHOTO" in capsys.readouterr().out
    Image.new("RGB", (40, 40), "green").save(tmp_path / "photo.png")
    assert main(["caption", "--with-keras", "--model", "whole", str(tmp_path / "photo.png")]) == 0


def test_another_encoder_is_neither_packed_nor_installed(settings, folder, tmp_path):
    other = write_tiny_encoder(tmp_path / "other.keras", seed=5)
    with pytest.raises(CourseError, match="other weights"):
        pack_model(folder, tmp_path / "a.zip", replace(settings, encoder=str(other)))
    shutil.copy(other, folder / "encoder.keras")
    with pytest.raises(CourseError, match="other weights"):
        install_model(str(folder), settings)
    assert not (tmp_path / "a.zip").exists() and not installed_models(settings)


def test_an_encoder_that_everybody_has_is_not_packed(settings, folder, tmp_path):
    facts = read_json(folder / "model.json")
    facts["encoder"] |= {"encoder_setting": "inception_v3", "name": "inception_v3"}
    write_json(facts, folder / "model.json")
    with pytest.raises(CourseError, match="inception_v3 of Keras.*leave --with-encoder out"):
        pack_model(folder, tmp_path / "a.zip", settings)


def test_the_commands_work_together(course_environ, folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COURSE_DATA", str(tmp_path / "data"))
    assert main(["model", "list"]) == 0 and "No models" in capsys.readouterr().out
    assert main(["model", "pack", "--model", str(folder), str(tmp_path / "trip.zip")]) == 0
    assert main(["model", "install", str(tmp_path / "trip.zip")]) == 0
    assert "caption --model trip" in capsys.readouterr().out
    photo = tmp_path / "photo.jpg"
    with zipfile.ZipFile(course_environ.settings.dataset_folder / "val_scenes.zip") as archive:
        photo.write_bytes(archive.read(archive.namelist()[0]))
    assert main(["caption", "--model", "trip", str(photo)]) == 0
    assert capsys.readouterr().out.startswith(f"{photo}: ")

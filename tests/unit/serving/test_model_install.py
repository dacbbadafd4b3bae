"""Models are brought in whole or not at all, from folders, zips and addresses."""

import re
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from caption_samples import fit_checksums, write_tiny_encoder
from download_server import serve_folder
from PIL import Image

from say_what_you_see.commands.main import main
from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import sha256_of, write_json
from say_what_you_see.core.text import visible
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
def server(tmp_path, no_proxy):
    """The address of a server for the temporary folder."""
    with serve_folder(tmp_path) as address:
        yield address


def check(installed: Path, folder: Path) -> None:
    assert load_caption_model(installed).vocab == load_caption_model(folder).vocab
    assert sorted(path.name for path in installed.iterdir()) == sorted(path.name for path in folder.iterdir())


def test_a_folder_a_zip_and_addresses_bring_the_same_model(settings, folder, server, tmp_path):
    packed = pack_model(folder, tmp_path / "packed.zip")
    checksum = f"sha256:{sha256_of(packed)}"
    of_folder = f"sha256:{sha256_of(folder / 'model.json')}"
    check(install_model(str(folder), settings, checksum=of_folder), folder)
    check(install_model(str(packed), settings, checksum=checksum), folder)
    check(install_model(f"{server}/packed.zip", settings, "from_web", checksum), folder)
    check(install_model(f"{server}/my%20model/", settings, "parts", of_folder), folder)
    assert installed_models(settings) == ["from_web", "my_model", "packed", "parts"]
    assert find_model("parts", settings) == models_folder(settings) / "parts"
    assert describe_models(settings).count("validation loss") == 6, "with the two that come with the course"


def test_half_precision_takes_half_the_space_and_changes_little(settings, folder, tmp_path):
    sizes = [pack_model(folder, tmp_path / f"{half}.zip", half_precision=half).stat().st_size for half in (True, False)]
    assert sizes[0] < 0.7 * sizes[1]
    whole, halved = (load_caption_model(each) for each in (folder, install_model(str(tmp_path / "True.zip"), settings)))
    assert (halved.vocab, halved.encoder, halved.metadata) == (whole.vocab, whole.encoder, whole.metadata)
    for ours, theirs in zip(halved.decoder.get_weights(), whole.decoder.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-6)


def test_a_model_with_another_checksum_is_refused_in_every_form(settings, folder, server, tmp_path):
    packed = pack_model(folder, tmp_path / "packed.zip")
    for source in (folder, packed, f"{server}/my%20model", f"{server}/packed.zip"):
        for checksum in ("sha256:" + "0" * 64, "sha256:00", "xyz:00"):
            with pytest.raises(CourseError, match="checksum"):
                install_model(str(source), settings, checksum=checksum)
    assert packed.exists() and not list(models_folder(settings).parent.rglob("*.*"))


@pytest.mark.parametrize("damage", ["a renamed layer", "NaN", "infinity"])
def test_a_decoder_that_cannot_caption_is_refused(damage, settings, folder):
    """Though its checksum fits."""
    decoder = load_caption_model(folder).decoder
    if damage == "a renamed layer":
        decoder.layers[-1].name = "other"
    else:
        weights = decoder.get_weights()
        weights[-1][:] = np.nan if damage == "NaN" else 3e38
        weights[-2][:] = 3e38
        decoder.set_weights(weights)
    decoder.save(folder / "decoder.keras")
    fit_checksums(folder)
    with pytest.raises(CourseError, match="decoder"):
        install_model(str(folder), settings)
    assert not list(models_folder(settings).iterdir())


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


def test_what_is_there_stays_and_is_listed(settings, folder):
    install_model(str(folder), settings, "mine")
    with pytest.raises(CourseError, match="already.*--name"):
        install_model(str(folder), settings, "mine")
    with pytest.raises(CourseError, match=r"no model 'yours'.*mine"):
        find_model("yours", settings)
    write_json({}, models_folder(settings) / "empty" / "model.json")
    *shipped, empty, mine = describe_models(settings).splitlines()
    assert shipped and empty.startswith("empty ") and "has a format" in empty and "validation loss" in mine


@pytest.mark.parametrize("source", ["nowhere", "~nosuchuser/x", "a\0b", "http://127.0.0.1:1/model.zip", "http://a..b/"])
def test_a_source_that_is_not_there_is_named(source, settings, monkeypatch):
    monkeypatch.setattr("say_what_you_see.data.download.ATTEMPTS", 1)
    with pytest.raises(CourseError, match=re.escape(visible(source))) as caught:
        install_model(source, settings)
    assert str(models_folder(settings)) not in str(caught.value), "nothing can be put there"


# The commands


@pytest.fixture
def receiver(course_environ, tmp_path, monkeypatch, capsys):
    """Runs commands as somebody with a data folder of their own, without the encoder; returns output and errors."""
    monkeypatch.setenv("COURSE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("ENCODER", "")
    Image.new("RGB", (40, 40), "green").save(tmp_path / "photo.png")

    def run(*arguments: str, status: int = 0) -> str:
        assert main(list(arguments)) == status
        return "".join(capsys.readouterr())

    return run


def test_who_gets_a_model_learns_which_encoder_is_missing_and_where_it_goes(
    receiver, finished_course, folder, tmp_path
):
    assert receiver("model", "list").splitlines()[1].startswith("scenes"), "with what comes with the course"
    packed = tmp_path / "trip.zip"
    said = receiver("model", "pack", "--model", str(folder), str(packed))
    assert "also needs the encoder tiny.keras. Share that file too" in said
    said = receiver("model", "install", str(packed))
    assert f"put it into {tmp_path / 'data'}" in said and "--encoder FOLDER/tiny.keras" in said
    caption = ["caption", "--with-keras", "--model", "trip", str(tmp_path / "photo.png")]
    assert f"Or put it into {tmp_path / 'data'}" in receiver(*caption, status=1)
    shutil.copy(finished_course.environ["ENCODER"], tmp_path / "data" / "tiny.keras")
    assert f"{tmp_path / 'photo.png'}: " in receiver(*caption)


def test_an_encoder_that_is_packed_with_its_model_is_all_that_is_needed(receiver, finished_course, folder, tmp_path):
    packed = tmp_path / "whole.zip"
    encoder = ["--encoder", finished_course.environ["ENCODER"]]
    assert "licence" in receiver("model", *encoder, "pack", "--with-encoder", "--model", str(folder), str(packed))
    assert "Use it: say-what-you-see caption --model whole PHOTO" in receiver("model", "install", str(packed))
    receiver("caption", "--with-keras", "--model", "whole", str(tmp_path / "photo.png"))


def test_another_encoder_is_neither_packed_nor_installed(settings, folder, tmp_path):
    other = write_tiny_encoder(tmp_path / "other.keras", seed=5)
    with pytest.raises(CourseError, match="other weights"):
        pack_model(folder, tmp_path / "a.zip", replace(settings, encoder=str(other)))
    shutil.copy(other, folder / "encoder.keras")
    with pytest.raises(CourseError, match="other weights"):
        install_model(str(folder), settings)
    assert not (tmp_path / "a.zip").exists() and not installed_models(settings)

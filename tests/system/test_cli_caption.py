"""`say-what-you-see caption`: where pictures come from, ways of choosing words, and the forms of the answer."""

import io
import itertools
import json
import re
import shutil
import zipfile
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from download_server import serve_folder
from sklearn.datasets import load_sample_images

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import write_json
from say_what_you_see.core.settings import Settings
from say_what_you_see.course.captions import load_vocabulary
from say_what_you_see.decoding.samplers import Greedy
from say_what_you_see.serving.caption_photos import caption_pictures
from say_what_you_see.serving.captioner import generate_caption, load_captioner, read_picture
from say_what_you_see.serving.model_choice import (
    PHOTO_MODEL,
    SCENE_MODEL,
    default_model,
    find_model,
    introduction,
    remember_training,
)
from say_what_you_see.vision.sources import ImageSource, find_images


@pytest.fixture(scope="module")
def photos(finished_course, tmp_path_factory) -> Path:
    """A folder of twelve validation pictures, and some other things."""
    folder = tmp_path_factory.mktemp("holiday")
    with zipfile.ZipFile(finished_course.settings.dataset_folder / "val_scenes.zip") as archive:
        for number, name in enumerate(archive.namelist()[:12], 1):
            path = folder / ("deeper" if number > 10 else "") / f"photo{number}.jpg"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(archive.read(name))
    (folder / "notes.txt").write_text("no picture")
    (folder / ".hidden.jpg").write_text("no picture")
    return folder


@pytest.fixture
def server(photos, no_proxy):
    """The address of a server for the folder."""
    with serve_folder(photos) as address:
        yield address


def names_of(sources: list[ImageSource], folder: Path) -> list[str]:
    return [str(Path(source.name).relative_to(folder)) for source in sources]


def standard_input(monkeypatch, data: bytes) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))


# Where pictures come from


def test_a_folder_stands_for_its_pictures_in_the_order_people_count(photos):
    in_order = [f"photo{number}.jpg" for number in range(1, 11)]
    assert names_of(find_images([str(photos)]), photos) == ["deeper/photo11.jpg", "deeper/photo12.jpg", *in_order]


def test_a_pattern_stands_for_what_fits_and_a_file_with_a_bracket_in_its_name_for_itself(photos, tmp_path):
    assert names_of(find_images([str(photos / "photo1*.jpg")]), photos) == ["photo1.jpg", "photo10.jpg"]
    assert names_of(find_images([str(photos / "**" / "photo[12]*.jpg")]), photos)[0].startswith("deeper/")
    with pytest.raises(CourseError, match=r"No file matches the pattern .*\*\.gif"):
        find_images([str(photos / "*.gif")])[0].read()
    path = Path(shutil.copy(photos / "photo1.jpg", tmp_path / "trip [2].jpg"))
    assert find_images([str(path)])[0].read() == path.read_bytes()


def test_standard_input_is_a_picture_or_a_list(photos, monkeypatch):
    data = (photos / "photo1.jpg").read_bytes()
    standard_input(monkeypatch, data)
    assert [source.read() for source in find_images(["-"])] == [data]
    standard_input(monkeypatch, f"{photos / 'photo1.jpg'}\n\n{photos / 'photo2.jpg'}\n".encode())
    assert names_of(find_images(["-"]), photos) == ["photo1.jpg", "photo2.jpg"]
    standard_input(monkeypatch, b"a\0b\n" + bytes(photos / "photo1.jpg"))  # the zero byte makes it no picture
    assert names_of(find_images(["-"])[1:], photos) == ["photo1.jpg"]
    standard_input(monkeypatch, b"")
    with pytest.raises(CourseError, match="Standard input is empty"):
        find_images(["-"])[0].read()


def test_an_address_is_fetched(photos, server):
    found, missing = find_images([f"{server}/photo1.jpg", f"{server}/none.jpg"])
    assert found.read() == (photos / "photo1.jpg").read_bytes()
    with pytest.raises(CourseError, match=r"none\.jpg answers 404"):
        missing.read()
    with pytest.raises(CourseError, match="Cannot fetch http://127.0.0.1:1/a.jpg"):
        find_images(["http://127.0.0.1:1/a.jpg"])[0].read()


def test_what_is_too_large_to_be_a_picture_is_not_read(photos, server, monkeypatch):
    monkeypatch.setattr("say_what_you_see.vision.sources.MAX_PICTURE_BYTES", 100)
    for argument in (f"{server}/photo1.jpg", str(photos / "photo1.jpg")):
        with pytest.raises(CourseError, match="too large"):
            find_images([argument])[0].read()


# Captions


def test_batches_do_not_change_captions_nor_their_order(finished_course, photos):
    captioner = load_captioner(finished_course.settings.model_folder, finished_course.settings)
    sources = find_images([str(photos)])
    alone = [generate_caption(captioner, read_picture(Path(source.name), captioner)) for source in sources]
    for batch_size in (1, 5, 100):
        found = list(caption_pictures(captioner, sources, Greedy(), batch_size=batch_size))
        assert [picture.name for picture in found] == [source.name for source in sources]
        assert [picture.caption for picture in found] == alone


def test_the_command_takes_everything_at_once(command, course_environ, photos, server, monkeypatch):
    standard_input(monkeypatch, (photos / "photo3.jpg").read_bytes())
    bad = [photos / "notes.txt", photos / "half.jpg", photos / "missing.jpg"]
    bad[1].write_bytes((photos / "photo1.jpg").read_bytes()[:2000])
    arguments = [bad[0], photos / "deeper", photos / "photo[12].jpg", "-", *bad[1:], f"{server}/photo4.jpg"]
    output, errors = command("caption", *arguments, status=1)
    bad[1].unlink()
    lines = [line.partition(": ") for line in output.splitlines()]
    assert [name.rpartition("/")[2] for name, _, _ in lines] == [
        "photo11.jpg", "photo12.jpg", "photo1.jpg", "photo2.jpg", "-", "photo4.jpg",
    ]  # fmt: skip
    words = {word for _, _, sentence in lines for word in sentence.split()}
    assert words and words <= set(load_vocabulary(course_environ.settings))
    assert "Note: this model knows only the course's drawn scenes." in errors
    named = [line for line in errors.splitlines() if line.startswith("Error: ")]
    assert all(str(path) in error for path, error in zip(bad, named, strict=True))


def test_captions_are_as_short_as_asked_for_and_of_the_model_that_is_named(command, course_environ, photos):
    named = ["--model", course_environ.settings.model_folder, photos / "photo1.jpg"]
    anything = ["caption", "--no-repeat-ngram-size", "0"]
    whole, short = command(*anything, photos / "photo1.jpg")[0], command(*anything, "--max-len", "2", *named)[0]
    assert whole.startswith(short.rstrip()) and len(short.partition(": ")[2].split()) == 2


def test_json_is_for_machines(command, photos):
    pictures = [photos / "photo1.jpg", photos / "notes.txt"]
    output, errors = command("caption", "--json", "--beam", "3", *pictures, status=1)
    answer = json.loads(output)
    good, bad = answer["pictures"]
    assert answer["knows_drawings_only"] is True
    assert "Note: " not in errors and "Error: " not in errors, "all is in the answer"
    assert good["picture"].endswith("photo1.jpg") and len(good["captions"]) == 3
    assert good["captions"][0] == {"caption": good["caption"], "probability": good["probability"]}
    assert 1 >= good["probability"] >= good["captions"][1]["probability"] >= good["captions"][2]["probability"] > 0
    assert bad["picture"].endswith("notes.txt") and "not a picture" in bad["error"]


def test_a_page_shows_the_pictures(command, photos, tmp_path):
    page = tmp_path / "page.html"
    command("caption", "--html", page, photos / "photo1.jpg", photos / "notes.txt", status=1)
    text = page.read_text()
    assert text.count("<img ") == 1 and "data:image/jpeg;base64," in text and "not a picture" in text
    assert "knows only the course&#39;s drawn scenes" in text
    assert "http" not in re.sub(r"base64,[^\"]*", "", text), "nothing is loaded from elsewhere"


@pytest.mark.parametrize(("model", "beams", "penalty", "other"), [
    (["--model", "photos"], "3", "0.7", "0"), ([], "1", "0", "0.7"),
])  # fmt: skip
def test_how_captions_are_searched_for_follows_from_what_the_model_knows(
    model, beams, penalty, other, command, course_environ, photos
):
    def captioned(*options: str) -> list[dict]:
        answer = command("caption", "--json", *options, *model, *load_sample_images().filenames, photos)[0]
        return json.loads(answer)["pictures"]

    usual, asked_for = captioned(), captioned("--beam", beams)
    assert all("captions" not in picture for picture in usual), "the best one alone"
    assert [picture["caption"] for picture in usual] == [picture["caption"] for picture in asked_for]
    several = captioned("--beam", "3")
    assert several == captioned("--beam", "3", "--length-penalty", penalty)
    assert several != captioned("--beam", "3", "--length-penalty", other)


@pytest.mark.parametrize(("options", "named"), [
    (["--temperature", "0.5"], "--temperature has no effect without --sample"), (["--top-p", "0.9"], "--top-p"),
    (["--sample", "--length-penalty", "1"], "--length-penalty has no effect with --sample"),
    (["--html", "/proc/page.html"], "/proc/page.html could not be written"),
])  # fmt: skip
def test_what_cannot_have_an_effect_is_refused_before_any_work(options, named, command, photos, monkeypatch):
    monkeypatch.setattr("say_what_you_see.commands.caption.find_images", pytest.fail)
    assert named in command("caption", *options, photos / "photo1.jpg", status=1)[1]


def test_pictures_that_cannot_be_read_are_named_where_a_folder_is_given(command, photos, tmp_path):
    for name in ("a.jpg", "b.jfif", "c.HEIC", "d.tiff", "._d.tiff"):
        shutil.copy(photos / "photo1.jpg", tmp_path / name)
    captions, error = command("caption", tmp_path)
    assert captions.count("\n") == 2 and "2 pictures in a format that cannot be read (.heic, .tiff)" in error


def test_sampling_follows_the_seed(command, photos, monkeypatch):
    def captions(*options: str) -> str:
        return command("caption", *options, photos)[0]

    sampled = partial(captions, "--sample")
    assert sampled("--seed", "1") == sampled("--seed", "1") != sampled("--seed", "2")
    assert sampled("--seed", "0") == sampled(), "which is the default of COURSE_SEED"
    monkeypatch.setenv("COURSE_SEED", "2")
    assert sampled() == sampled("--seed", "2")
    assert sampled("--top-k", "1") == sampled("--temperature", "0.0001") == captions("--no-repeat-ngram-size", "0")


def test_nothing_is_said_twice_unless_it_is_allowed(command, photos):
    def twice(*options: str) -> int:
        words = [one.split() for one in re.findall(r": (.+)", command("caption", *options, photos)[0])]
        return sum(len({*pairs}) < len(pairs) for pairs in (list(itertools.pairwise(said)) for said in words))

    assert twice("--no-repeat-ngram-size", "2") == 0 < twice("--no-repeat-ngram-size", "0")


def test_the_model_of_the_last_training_on_photographs_is_used(finished_course, tmp_path):
    def train(settings: Settings, folder: Path) -> Path:
        write_json({}, folder / "model.json")
        remember_training(settings, folder)
        return folder

    assert default_model(finished_course.settings) == finished_course.settings.model_folder
    usual = replace(finished_course.settings, data_folder=tmp_path, encoder="inception_v3")
    photographs = replace(usual, dataset=str(tmp_path / "photos"), encoder="/somewhere/own.keras")
    last = train(usual, usual.model_folder)
    assert default_model(usual) == PHOTO_MODEL and "last training" in introduction(last, usual)
    last = train(photographs, photographs.model_folder)
    assert default_model(usual) == last and "last training" in introduction(last, usual)
    assert default_model(replace(usual, encoder=photographs.encoder)) == last
    for other in (replace(usual, encoder="/somewhere/other.keras"), replace(usual, dataset="coco")):
        assert default_model(other) == other.model_folder, "which is not there, and says so"
    last = train(photographs, photographs.work_folder / "transformer" / "model")
    assert default_model(usual) == default_model(photographs) == last
    (last / "model.json").unlink()
    assert default_model(usual) == PHOTO_MODEL and default_model(photographs) == photographs.model_folder
    (tmp_path / "last_training.json").write_text("[]")
    assert default_model(usual) == PHOTO_MODEL


def test_without_a_training_what_comes_with_the_course_is_used(finished_course, tmp_path):
    usual = replace(finished_course.settings, data_folder=tmp_path, encoder="inception_v3")
    assert default_model(usual) == PHOTO_MODEL
    assert "photos, which comes with the course" in introduction(PHOTO_MODEL, usual)
    assert [find_model(name, usual) for name in ("photos", "scenes")] == [PHOTO_MODEL, SCENE_MODEL]


def test_a_packed_model_is_to_be_installed_first(command, photos, tmp_path):
    (tmp_path / "photo_model.zip").write_bytes(b"PK")
    _, error = command("caption", "--model", tmp_path / "photo_model.zip", photos / "photo1.jpg", status=1)
    assert f"say-what-you-see model install {tmp_path / 'photo_model.zip'}" in error

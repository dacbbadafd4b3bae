"""Captions and names from elsewhere are shown as text everywhere: terminal, pages, widget, TensorBoard, model card."""

import json
import re
from pathlib import Path

import matplotlib.pyplot as plt
import needs_tensorflow  # noqa: F401  (the module is skipped on other backends)
import numpy as np
import pytest
import tensorflow as tf
from bs4 import BeautifulSoup
from caption_samples import ENCODER, VOCAB, tiny_decoder
from hostile_files import CAPTIONS, picture, write_zip

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.text import markdown_text, message, terminal_json, visible
from say_what_you_see.data.archives import image_members
from say_what_you_see.evaluation.evaluate import evaluate_captions
from say_what_you_see.evaluation.gallery import data_url
from say_what_you_see.evaluation.report import write_report
from say_what_you_see.evaluation.scale import write_examples
from say_what_you_see.evaluation.trained import ScoredPictures
from say_what_you_see.page.demo import Demo
from say_what_you_see.page.server import DemoServer
from say_what_you_see.serving.model_folder import CaptionModel, save_caption_model
from say_what_you_see.vision.embedding_table import EmbeddingTable, ImageBatch
from utils.plots import show_pictures

OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""What a terminal or a page obeys instead of showing it."""

ESCAPE = "\x1b]0;title\x07\x1b[2J\x9b1m"


def tags(page: BeautifulSoup) -> list[tuple[str, ...]]:
    """The tags of a page in their order, each with the names of its attributes."""
    return [(tag.name, *tag.attrs) for tag in page.find_all(True)]


def words(page: BeautifulSoup) -> str:
    return " ".join(page.get_text(" ").split())


def one_line(text: str) -> str:
    return " ".join(visible(text).split())


# The functions


OF_A_SCRIPT = ["می\u200cروم", "क्\u200dष", "\u200fשלום\u200e", "👩\u200d🚀", "e\u0301"]
"""Persian and Hindi need joiners, Arabic and Hebrew marks of direction."""


@pytest.mark.parametrize("text", [*CAPTIONS.values(), *OF_A_SCRIPT], ids=[*CAPTIONS, *OF_A_SCRIPT])
def test_a_text_keeps_what_can_be_seen_and_loses_what_is_obeyed(text):
    assert not OBEYED.search(visible(text)) and visible(visible(text)) == visible(text)
    if not OBEYED.search(text) and "\u2028" not in text:
        assert visible(text) == text
    assert json.loads(terminal_json({"caption": text})) == {"caption": text}
    assert not OBEYED.search(terminal_json([text]))
    assert "\n" not in markdown_text(text)


def test_a_message_is_short_and_keeps_its_end():
    text = message("The file " + "x" * 100_000 + " is damaged. Bring a whole copy.")
    assert len(text) < 5000 and text.startswith("The file x") and text.endswith("Bring a whole copy.")
    assert str(CourseError(f"a {ESCAPE} name")) == r"a \x1b]0;title\x07\x1b[2J\x9b1m name"


# The terminal


def test_names_of_pictures_and_errors_do_not_reach_the_terminal_raw(command, tmp_path):
    sound, broken = tmp_path / f"sound{ESCAPE}.png", tmp_path / f"broken{ESCAPE}.png"
    sound.write_bytes(picture(size=(40, 40)))
    broken.write_bytes(b"no picture")
    pictures = [sound, broken, tmp_path / f"missing{ESCAPE}.png"]
    for options in ([], ["--beam", "2"], ["--json"], ["--html", tmp_path / "page.html"]):
        output, errors = command("caption", *options, *pictures, status=1)
        assert not OBEYED.search(output + errors), options
        if "--json" in options:
            names = [entry["picture"] for entry in json.loads(output)["pictures"]]
            assert names == list(map(str, pictures)), "for machines they are what they are"
        elif "--html" not in options:
            assert r"sound\x1b]0;title" in output
            assert r"broken\x1b]0;title" in errors and r"missing\x1b]0;title" in errors
    _, errors = command("caption", "--model", f"{tmp_path}/{ESCAPE}", sound, status=1)
    assert not OBEYED.search(errors)


def test_pictures_that_are_skipped_are_named_in_letters(tmp_path, capsys):
    path = write_zip(tmp_path / "p.zip", {f"{ESCAPE}.png": b"no", "b.png": picture()})
    table = EmbeddingTable(path, image_members(path), (2,))
    table.add(ImageBatch(np.zeros((2, 4, 4, 3)), 1, {f"{ESCAPE}.png": f"reason {ESCAPE}"}), np.zeros((2, 2)))
    table.finish()
    shown = capsys.readouterr().out
    assert r"\x1b[2J" in shown and not OBEYED.search(shown)


# Pages, and Markdown: TensorBoard and the card of a model


def evaluation_page(captions: list[str], folder: Path) -> BeautifulSoup:
    names = [f"{number}.png" for number in range(len(captions))]
    pictures_zip = write_zip(folder / "p.zip", dict.fromkeys(names, picture()))
    known = ScoredPictures(names, list(range(len(names))), [[text, "a red ball"] for text in captions])
    found = evaluate_captions(captions, known, False, " ".join(captions), " ".join(captions))
    write_report(folder / "page.html", pictures_zip, [found], known)
    return BeautifulSoup((folder / "page.html").read_text(encoding="utf-8"), "html.parser")


def markdown_page(markdown: str) -> BeautifulSoup:
    plugin_util = pytest.importorskip("tensorboard.plugin_util")
    return BeautifulSoup(plugin_util.markdown_to_safe_html(markdown), "html.parser")


def tensorboard_page(captions: list[str], folder: Path) -> BeautifulSoup:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    writer = tf.summary.create_file_writer(str(folder))
    write_examples(writer, 1, np.zeros((len(captions), 4, 4, 3), np.float32), captions)
    writer.close()
    [path] = folder.glob("events.*")
    [event] = accumulator.EventAccumulator(str(path)).Reload().Tensors("captions")
    return markdown_page(event.tensor_proto.string_val[0].decode())


def model_card(captions: list[str], folder: Path) -> BeautifulSoup:
    scores, text = dict.fromkeys(captions, 1.5), " ".join(captions)
    encoder = {**ENCODER, "name": text, "weights": text}
    facts = {"dataset": text, "pictures": text, "captions": 5, "scores": scores}
    save_caption_model(CaptionModel(tiny_decoder(), VOCAB, encoder, facts), folder)
    return markdown_page((folder / "README.md").read_text(encoding="utf-8"))


@pytest.mark.parametrize(("page_of", "most"), [(evaluation_page, 20), (tensorboard_page, 99), (model_card, 99)])
def test_pages_show_captions_as_text(page_of, most, tmp_path):
    captions = [text[:500] for text in CAPTIONS.values()][-most:]
    harmless = page_of([f"ball {number}" for number in range(len(captions))], tmp_path / "harmless")
    hostile = page_of(captions, tmp_path / "hostile")
    assert tags(hostile) == tags(harmless)
    assert [text for text in captions if one_line(text) not in words(hostile)] == []
    assert not OBEYED.search(words(hostile))


# The page of the demonstration, and the widget, which has the same code


SQUARE = data_url(np.zeros((8, 8, 3), np.uint8))


class Answers(Demo):
    """A demonstration whose model says what a data set or a web page may bring."""

    said = [text[:200] for text in CAPTIONS.values()]

    def overview(self) -> dict:
        models = [{"name": text or "empty", "looks": True, "note": text} for text in self.said]
        return {**super().overview(), "models": models}

    def add_picture(self, data: bytes) -> dict:
        return {"id": "own", "thumbnail": SQUARE}

    def caption(self, request: dict) -> dict:
        steps = [{"word": text, "probability": 0.5, "likely": [[text, 0.5]]} for text in self.said]
        captions, attention = [[text, 0.1] for text in self.said], [[[1.0]]] * len(steps)
        answer = {"captions": captions, "finished": True, "doubts": []}
        return answer | {"steps": steps, "attention": attention, "square": SQUARE}


@pytest.fixture
def answering():
    server = DemoServer(Answers([])).start()
    yield server
    server.stop()


def test_the_page_in_the_browser_shows_captions_as_text(answering, chromium_page, tmp_path):
    browser, path = chromium_page, tmp_path / '<img src=x onerror="document.title=1">.png'
    browser.open(answering.url)
    browser.wait_for("document.querySelectorAll('.choice').length")
    path.write_bytes(picture())
    browser.drop(".drop", [path])
    browser.wait_for("document.querySelectorAll('.steps > li').length")
    strange = "script:not([src]), svg, b, a, iframe, object, embed, form:not(.choices), [onerror], [onload]"
    assert browser.run(f"document.querySelectorAll({json.dumps(strange)}).length") == 0
    words = browser.run("[...document.querySelectorAll('.step-word')].map((word) => word.textContent)")
    assert words == Answers.said, "to the letter"
    assert browser.run("document.title") == "Say What You See"
    assert not [url for url in browser.requests if "evil" in url or url.endswith("/x")]
    assert browser.problems == []


# Figures


@pytest.mark.filterwarnings("ignore:Glyph")
@pytest.mark.filterwarnings("ignore:Matplotlib currently does not support")
@pytest.mark.filterwarnings("ignore:Tight layout")
def test_figures_show_captions_as_text(monkeypatch):
    shown = []
    monkeypatch.setattr("utils.plots.show_figure", lambda figure, alt: shown.append(figure))
    texts = list(CAPTIONS.values())
    show_pictures([np.zeros((2, 2, 3), np.uint8)] * len(texts), texts, "captions")
    titles = [axis.get_title() for axis in shown[0].axes[: len(texts)]]
    shown[0].canvas.draw()  # mathematics that makes no sense would fail here
    assert titles[list(CAPTIONS).index("mathematics")].replace("\n", " ") == CAPTIONS["mathematics"]
    assert max(map(len, titles)) < 1000 and not any(OBEYED.search(title.replace("\n", "")) for title in titles)
    plt.close(shown[0])

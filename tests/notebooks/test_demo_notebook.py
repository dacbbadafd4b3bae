"""The demonstration in notebooks: a widget where there are widgets, a picture where there are none."""

from __future__ import annotations

import io
import json
from types import SimpleNamespace

import pytest
from demo_samples import drawn, example
from PIL import Image

from say_what_you_see.page.core import MAX_UPLOAD_BYTES, Demo, DemoModel
from say_what_you_see.serving.captioner import generate_caption, load_captioner
from say_what_you_see.vision.pictures import crop_and_resize
from utils import widget as demo_notebook
from utils.widget import show_caption_widget, widgets_can_show


@pytest.fixture(scope="module")
def captioner(finished_course):
    return load_captioner(finished_course.settings.model_folder, finished_course.settings)


@pytest.fixture
def displayed(monkeypatch):
    """What was shown, as data and metadata."""
    shown = []
    keep = lambda data, metadata, raw: shown.append(SimpleNamespace(data=data, metadata=metadata))  # noqa: E731
    monkeypatch.setattr(demo_notebook, "display", keep)
    return shown


@pytest.fixture
def widget(captioner):
    """A widget whose answers are collected instead of sent."""
    pytest.importorskip("anywidget", reason="anywidget is not installed")
    from utils.widget_front import CaptionWidget

    made = CaptionWidget(Demo([DemoModel("The model", captioner)], [example(0)]))
    made.sent = []
    made.send = made.sent.append
    return made


def test_without_widgets_a_picture_stands_in(captioner, displayed):
    show_caption_widget(captioner, [drawn(3)], widgets=False)
    [shown] = displayed
    picture = drawn(3)
    square = crop_and_resize(example(3).data, captioner.encoder.input_shape)
    assert set(shown.data) == {"image/png", "text/plain"}
    assert f"greedy: {generate_caption(captioner, square)};" in shown.metadata["image/png"]["alt"]
    assert f"beam search, 3: {generate_caption(captioner, square, beam=3)}" in shown.data["text/plain"]
    with Image.open(io.BytesIO(shown.data["image/png"])) as image:
        assert image.width > image.height > picture.shape[0] and len(shown.data["image/png"]) < 60_000


def test_the_picture_is_the_same_every_time(captioner, displayed):
    for _ in range(2):
        show_caption_widget(captioner, [drawn(3)], widgets=False)
    assert displayed[0].data == displayed[1].data


def test_the_widget_keeps_the_picture_behind_it(captioner, displayed):
    pytest.importorskip("anywidget", reason="anywidget is not installed")
    show_caption_widget(captioner, [drawn(3), drawn(4)], widgets=True)
    [shown] = displayed
    assert {"application/vnd.jupyter.widget-view+json", "image/png", "text/plain"} <= set(shown.data)
    assert shown.data["text/plain"].startswith("A picture, captioned in three ways.")


def test_programs_that_run_notebooks_get_no_widget(monkeypatch):
    for name in ("JPY_SESSION_NAME", "VSCODE_PID"):
        monkeypatch.delenv(name, raising=False)
    assert not widgets_can_show()
    pytest.importorskip("anywidget", reason="anywidget is not installed")
    monkeypatch.setenv("JPY_SESSION_NAME", "notebooks/05_generate_captions.ipynb")
    assert widgets_can_show()
    monkeypatch.setattr(demo_notebook, "find_spec", lambda name: None)
    assert not widgets_can_show()


def test_the_widget_answers_as_the_server_does(widget):
    wish = {"picture": "example-0", "model": "The model", "method": "greedy"}
    widget._on_message(widget, {"id": "1", "question": "caption", "content": wish}, [])
    widget._on_message(widget, {"id": "2", "question": "caption", "content": {}}, [])
    good, bad = json.loads(json.dumps(widget.sent))
    assert good == {"id": "1", "answer": json.loads(json.dumps(widget.demo.caption(wish)))}
    assert bad["id"] == "2" and "no longer in memory" in bad["error"]


def upload(widget, number: str, data: bytes, size: int, upto: int | None = None) -> None:
    """Send a file in parts, as the page does."""
    for start in range(0, len(data), size)[:upto]:
        part = memoryview(data[start : start + size])
        last = start + size >= len(data)
        widget._on_message(widget, {"id": number, "question": "add", "start": start, "last": last}, [part])


def test_a_file_comes_in_parts(widget):
    upload(widget, "1", example(2).data, 1000)
    [answer] = widget.sent
    wish = {"picture": answer["answer"]["id"], "model": "The model", "method": "greedy"}
    assert (
        widget.demo.caption(wish)["captions"]
        == widget.demo.caption({**wish, "picture": widget.demo.add_picture(example(2).data)["id"]})["captions"]
    )


def test_a_file_that_was_given_up_does_not_mix_with_the_next(widget):
    upload(widget, "1", example(1).data, 1000, upto=2)
    upload(widget, "2", example(2).data, 1000)
    widget._on_message(widget, {"id": "1", "question": "add", "start": 2000, "last": True}, [memoryview(b"rest")])
    [answer] = widget.sent
    assert answer["id"] == "2" and "answer" in answer


def test_a_file_that_is_too_large_is_refused_once(widget):
    upload(widget, "1", bytes(MAX_UPLOAD_BYTES + 2_000_001), 1_000_000)
    assert [(one["id"], one.get("error")) for one in widget.sent] == [("1", "the file is larger than 20 MB")]


def test_an_error_of_our_own_is_an_answer(widget, monkeypatch):
    monkeypatch.setattr(widget.demo, "overview", lambda: 1 / 0)
    widget._on_message(widget, {"id": "1", "question": "overview"}, [])
    assert widget.sent == [{"id": "1", "error": "something went wrong; the kernel's log says more"}]

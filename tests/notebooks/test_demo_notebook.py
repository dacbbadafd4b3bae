"""The demonstration in notebooks: a widget where somebody looks at it, a picture where a program runs the notebook."""

import io
import json
from unittest.mock import Mock

import pytest
from demo_samples import drawn, example
from PIL import Image

from say_what_you_see.page.demo import Demo
from say_what_you_see.page.steps import DemoModel
from say_what_you_see.serving.captioner import generate_caption, load_captioner
from say_what_you_see.vision.pictures import crop_and_resize
from utils import widget as widget_module
from utils.widget import CaptionWidget, show_caption_widget, widgets_can_show


@pytest.fixture(scope="module")
def captioner(finished_course):
    return load_captioner(finished_course.settings.model_folder, finished_course.settings)


@pytest.fixture
def displayed(monkeypatch):
    """The function that shows things, whose calls are looked at."""
    monkeypatch.setattr(widget_module, "display", Mock())
    return widget_module.display


@pytest.fixture
def widget(captioner) -> CaptionWidget:
    """A widget whose answers to the page are collected in `sent`."""
    made = CaptionWidget(Demo([DemoModel("The model", captioner)], [example(0)]))
    made.sent = []
    made.send = lambda answer: made.sent.append(json.loads(json.dumps(answer)))
    return made


def test_a_picture_stands_in_where_a_program_runs_the_notebook(captioner, displayed):
    for _ in range(2):
        show_caption_widget(captioner, [drawn(3)], widgets=False)
    shown, again = displayed.call_args_list
    assert shown == again, "the same every time"
    [data], metadata = shown.args, shown.kwargs["metadata"]
    square = crop_and_resize(example(3).data, captioner.encoder.input_shape)
    assert set(data) == {"image/png", "text/plain"}
    assert f"greedy: {generate_caption(captioner, square)};" in metadata["image/png"]["alt"]
    assert f"beam search, 3: {generate_caption(captioner, square, beam=3)}" in data["text/plain"]
    with Image.open(io.BytesIO(data["image/png"])) as image:
        assert image.width > image.height > 300 and len(data["image/png"]) < 60_000


def test_the_widget_keeps_the_picture_behind_it(captioner, displayed):
    show_caption_widget(captioner, [drawn(3), drawn(4)], widgets=True)
    [data] = displayed.call_args.args
    assert {"application/vnd.jupyter.widget-view+json", "image/png", "text/plain"} <= set(data)
    assert data["text/plain"].startswith("A picture, captioned in three ways.")


def test_programs_that_run_notebooks_get_no_widget(monkeypatch):
    for name in ("JPY_SESSION_NAME", "VSCODE_PID"):
        monkeypatch.delenv(name, raising=False)
    assert not widgets_can_show()
    monkeypatch.setenv("JPY_SESSION_NAME", "notebooks/05_generate_captions.ipynb")
    assert widgets_can_show()


def test_the_widget_answers_as_the_server_does(widget):
    request = {"picture": "example-0", "model": "The model", "method": "greedy"}
    widget._handle_custom_msg({"id": "1", "question": "caption", "content": request}, [])
    widget._handle_custom_msg({"id": "2", "question": "caption", "content": {}}, [])
    good, bad = widget.sent
    assert good == {"id": "1", "answer": json.loads(json.dumps(widget.demo.caption(request)))}
    assert bad["id"] == "2" and "no longer in memory" in bad["error"]


def test_a_file_comes_in_parts(widget):
    data = example(2).data
    for start in range(0, len(data), 1000):
        question = {"id": "1", "question": "add", "size": len(data)}
        widget._handle_custom_msg(question, [memoryview(data[start : start + 1000])])
    [answer] = widget.sent
    whole = widget.demo.add_picture(data)
    request = {"model": "The model", "method": "greedy"}
    captions = [widget.demo.caption({**request, "picture": one["id"]}) for one in (answer["answer"], whole)]
    assert captions[0] == captions[1]

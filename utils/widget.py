"""The demonstration in a notebook: a widget if somebody looks at it, a picture if a program runs the notebook."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import anywidget
import matplotlib.pyplot as plt
import numpy as np
from IPython.display import display
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from say_what_you_see.core.errors import CourseError
from say_what_you_see.decoding.beam_search import BeamSearch
from say_what_you_see.decoding.samplers import Greedy, Sampling
from say_what_you_see.evaluation.palette import BLUE, ORANGE
from say_what_you_see.page.demo import Demo, ExamplePicture, encode_png
from say_what_you_see.page.server import PAGE_FOLDER
from say_what_you_see.page.steps import DemoModel, ExplainedCaption, Step, explain_caption
from say_what_you_see.vision.pictures import crop_and_resize
from utils.plots import Picture

if TYPE_CHECKING:  # a quick captioner does not need Keras
    from say_what_you_see.serving.captioner import Captioner
    from say_what_you_see.serving.fast_captioner import FastCaptioner

_SAMPLERS = {"greedy": Greedy(), "temperature 1": Sampling(1.0), "beam search, 3": BeamSearch(3)}
_MOST_STEPS = 8
_COLUMNS = 4


def show_caption_widget(
    captioner: Captioner | FastCaptioner | DemoModel, pictures: Sequence[np.ndarray], widgets: bool | None = None
) -> None:
    """Show the demonstration: drop or pick a picture, choose a sampler, watch the caption being written.

    Args:
        captioner: writes the captions; a `DemoModel` of a model with attention also shows where it looks.
        pictures: to pick from, one or more; uint8 RGB, (height, width, 3) each.
        widgets: whether to show a widget; None finds out whether anybody would see it. If not, a picture of one
            caption replaces it; if so, the picture is kept behind it for anyone who opens the notebook elsewhere.
    """
    model = captioner if isinstance(captioner, DemoModel) else DemoModel("The model", captioner)
    still = still_picture(model, pictures[0])
    data, metadata = still._repr_mimebundle_()
    if widgets_can_show() if widgets is None else widgets:
        examples = [ExamplePicture(f"Picture {i}", encode_png(picture)) for i, picture in enumerate(pictures, 1)]
        shown = CaptionWidget(Demo([model], examples))._repr_mimebundle_()
        widget_data, widget_metadata = shown if isinstance(shown, tuple) else (shown or {}, {})
        data, metadata = {**data, **widget_data, "text/plain": still.alt}, {**metadata, **widget_metadata}
    display(data, metadata=metadata, raw=True)


def widgets_can_show() -> bool:
    """Whether somebody looks at the notebook in JupyterLab, Colab or VS Code, rather than a program running it.

    Jupyter's server tells a kernel the name of its notebook (JPY_SESSION_NAME); nbclient and nbval, which run
    notebooks for pages and tests, do not.
    """
    return "google.colab" in sys.modules or "JPY_SESSION_NAME" in os.environ or "VSCODE_PID" in os.environ


def still_picture(model: DemoModel, picture: np.ndarray) -> Picture:
    """One picture captioned in three ways, and the most probable next words of the greedy caption."""
    captioner, rng = model.captioner, np.random.default_rng(0)
    square = crop_and_resize(encode_png(picture), captioner.input_shape)
    features = captioner.embed(square[None])
    captions = {name: explain_caption(model, features, sampler, rng) for name, sampler in _SAMPLERS.items()}
    said = "; ".join(f"{name}: {caption.captions[0][0]}" for name, caption in captions.items())
    return Picture(_still_figure(square, captions), f"A picture, captioned in three ways. {said}")


def _still_figure(square: np.ndarray, captions: dict[str, ExplainedCaption]) -> Figure:
    steps = captions["greedy"].steps[:_MOST_STEPS]
    rows = -(-len(steps) // _COLUMNS)
    figure = plt.figure(figsize=(9, 3 + 1.7 * rows), layout="constrained")
    subfigures: Any = figure.subfigures(2, 1, height_ratios=(3, 1.7 * rows))  # an array of two
    top, bottom = subfigures
    left, right = top.subplots(1, 2, width_ratios=(1, 2))
    left.imshow(square)
    left.axis("off")
    right.axis("off")
    for place, (name, caption) in enumerate(captions.items()):
        sentence, probability = caption.captions[0]
        height = 0.92 - 0.33 * place
        right.text(0, height, f"{name}, p = {probability:.2g}", fontsize=9, va="top", transform=right.transAxes)
        options = {"va": "top", "transform": right.transAxes, "parse_math": False}  # a $ is a dollar sign
        right.text(0, height - 0.1, sentence, fontsize=12, wrap=True, **options)
    for axis, step in zip(bottom.subplots(rows, _COLUMNS, squeeze=False).flat, [*steps, *[None] * 8], strict=False):
        _plot_step(axis, step)
    bottom.suptitle("The most probable next words", fontsize=11)
    return figure


def _plot_step(axis: Axes, step: Step | None) -> None:
    """Bars of the most probable words, the chosen one in orange; nothing where there is no step."""
    if step is None:
        axis.axis("off")
        return
    names, values = zip(*step.likely[::-1], strict=True)
    axis.barh(range(len(names)), values, color=[ORANGE if name == step.word else BLUE for name in names])
    axis.set(xlim=(0, 1), xticks=[0, 1])
    axis.set_yticks(range(len(names)), names, parse_math=False)
    axis.tick_params(labelsize=8)
    axis.grid(False)


class CaptionWidget(anywidget.AnyWidget):
    """The demonstration's page in a notebook; the kernel answers its questions."""

    _esm = (PAGE_FOLDER / "demo.js").read_text(encoding="utf-8")
    _css = (PAGE_FOLDER / "demo.css").read_text(encoding="utf-8")

    def __init__(self, demo: Demo) -> None:
        super().__init__()
        self.demo = demo
        self._uploads: dict[str, bytearray] = {}
        self.on_msg(self._on_message)

    def _on_message(self, _widget: Any, message: dict[str, Any], buffers: list[memoryview]) -> None:
        """Answer a question; if something goes wrong, that is the answer."""
        number = message["id"]
        try:
            content = message.get("content", {})
            if "size" in message:  # a file, in parts, since messages must be small
                data = self._uploads.setdefault(number, bytearray())
                data += b"".join(buffers)
                if len(data) < message["size"]:
                    return
                content = bytes(self._uploads.pop(number))
            self.send({"id": number, "answer": self.demo.answer(message["question"], content)})
        except CourseError as error:
            self.send({"id": number, "error": str(error)})
        except Exception:  # an exception would vanish between kernel and page
            traceback.print_exc(file=sys.__stderr__)
            self.send({"id": number, "error": "Something went wrong; the kernel's log says more."})

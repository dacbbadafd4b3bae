"""Answers the page in the browser and the widget in notebooks.

Both send the same three questions (`Demo.answer`) and draw the same answers. Only a few pictures are kept, in memory,
and they are never written to disk.
"""

import io
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from say_what_you_see.core.errors import CourseError
from say_what_you_see.decoding.beam_search import LENGTH_PENALTY, BeamSearch
from say_what_you_see.decoding.samplers import NO_REPEAT_NGRAM_SIZE, Greedy, Sampler, Sampling
from say_what_you_see.evaluation.gallery import data_url
from say_what_you_see.page.steps import DemoModel, explain_caption
from say_what_you_see.serving.model_choice import DRAWINGS_ONLY
from say_what_you_see.vision.pictures import crop_and_resize

MAX_UPLOAD_BYTES = 20_000_000
"""Files larger than this are refused."""

KEPT_UPLOADS = 8
"""The number of the user's own pictures that are remembered; the oldest ones are dropped."""

TEMPERATURES = (0.1, 3.0)
BEAMS = (2, 8)
_THUMBNAIL_SHAPE = (120, 120)


@dataclass(frozen=True)
class ExamplePicture:
    """A picture to choose."""

    name: str  # a short name
    data: bytes  # the bytes of the file
    people: list[str] = field(default_factory=list)  # what people say about it, where that is known


@dataclass
class _KeptPicture:
    """A picture as the encoders need it: pixels by input shape, and features by model, once they are computed."""

    squares: dict[tuple[int, int], np.ndarray]
    features: dict[str, np.ndarray] = field(default_factory=dict)


class Demo:
    """Models and pictures to try; every answer is ready to be sent as JSON."""

    def __init__(self, models: Sequence[DemoModel], examples: Sequence[ExamplePicture] = ()) -> None:
        self.models = {model.name: model for model in models}
        self.examples = {f"example-{number}": example for number, example in enumerate(examples)}
        self._pictures = {number: self._keep(example.data) for number, example in self.examples.items()}  # then uploads

    def answer(self, question: str, content: Mapping[str, Any] | bytes) -> dict[str, Any]:
        """Answer one question: "overview", "add" (a picture's bytes) or "caption" (a request)."""
        if question == "add" and isinstance(content, bytes):
            return self.add_picture(content)
        if question == "caption" and isinstance(content, Mapping):
            return self.caption(content)
        if question == "overview":
            return self.overview()
        raise CourseError("The program does not understand the page. Reload the page.")

    def overview(self) -> dict[str, Any]:
        """The models and pictures to choose from, how captions are written at first, and the limits of requests."""
        models = [
            {
                "name": name,
                "looks": model.attention is not None,
                "note": DRAWINGS_ONLY if model.captioner.pictures_kind == "scenes" else "",
            }
            for name, model in self.models.items()
        ]
        examples = [
            {
                "id": number,
                "name": example.name,
                "people": example.people,
                "thumbnail": data_url(crop_and_resize(example.data, _THUMBNAIL_SHAPE)),
            }
            for number, example in self.examples.items()
        ]
        limits = {"bytes": MAX_UPLOAD_BYTES, "temperature": TEMPERATURES, "beams": BEAMS}
        kinds = [model.captioner.pictures_kind for model in self.models.values()]
        method = "beam" if "photographs" in kinds else "greedy"  # as the command line does
        return {"models": models, "examples": examples, "method": method, "limits": limits}

    def add_picture(self, data: bytes) -> dict[str, Any]:
        """Take a picture of the user's own into memory."""
        if len(data) > MAX_UPLOAD_BYTES:
            raise CourseError(f"the file is larger than {MAX_UPLOAD_BYTES / 1e6:.0f} MB")
        kept, number = self._keep(data), secrets.token_hex(8)
        self._pictures[number] = kept
        for oldest in list(self._pictures)[len(self.examples) : -KEPT_UPLOADS]:
            del self._pictures[oldest]
        return {"id": number, "thumbnail": data_url(crop_and_resize(data, _THUMBNAIL_SHAPE))}

    def caption(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Caption a picture.

        Args:
            request: "picture" (its id), "model" (its name), "method" ("greedy", "sample" or "beam"), and with
                "sample" also "temperature" and "seed", with "beam" "beams".
        """
        kept, model = self._pictures.get(str(request.get("picture"))), self.models.get(str(request.get("model")))
        if kept is None:
            raise CourseError("This picture is no longer in memory. Choose it again.")
        if model is None:
            raise CourseError("There is no such model. Reload the page.")
        sampler = sampler_of(request, model.captioner.pictures_kind)
        rng = np.random.default_rng(int(_number(request, "seed", 0, 0, 2**31)))
        square = kept.squares[model.captioner.input_shape]
        if model.name not in kept.features:
            kept.features[model.name] = model.captioner.embed(square[None])
        caption = explain_caption(model, kept.features[model.name], sampler, rng)
        attention = None if caption.attention is None else caption.attention.round(5).tolist()
        return {**asdict(caption), "attention": attention, "square": data_url(square)}

    def _keep(self, data: bytes) -> _KeptPicture:
        shapes = {model.captioner.input_shape for model in self.models.values()}
        return _KeptPicture({shape: crop_and_resize(data, shape) for shape in shapes})


def sampler_of(request: Mapping[str, Any], pictures_kind: str) -> Sampler:
    """The sampler that a request asks for, of a model for photographs or for scenes."""
    method = request.get("method")
    if method == "greedy":
        return Greedy(no_repeat_ngram_size=NO_REPEAT_NGRAM_SIZE)
    if method == "sample":
        return Sampling(_number(request, "temperature", 1.0, *TEMPERATURES))
    if method == "beam":
        beams = int(_number(request, "beams", 3, *BEAMS))
        return BeamSearch(beams, LENGTH_PENALTY[pictures_kind], no_repeat_ngram_size=NO_REPEAT_NGRAM_SIZE)
    raise CourseError("There is no such way of choosing words. Reload the page.")


def _number(request: Mapping[str, Any], name: str, default: float, low: float, high: float) -> float:
    value = request.get(name, default)
    if not isinstance(value, int | float) or not low <= value <= high:
        raise CourseError(f"The {name} must be a number from {low:g} to {high:g}.")
    return value


def encode_png(pixels: np.ndarray) -> bytes:
    """The bytes of a PNG file, from uint8 RGB."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()

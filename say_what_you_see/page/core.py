"""What stands behind the page in the browser and the widget in notebooks: pictures, captions, and every step to them.

Page and widget send the same three questions (`Demo.answer`) and draw the same answers. Pictures are kept in
memory, a few of them, and never written to the disk.
"""

from __future__ import annotations

import base64
import io
import math
import secrets
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from say_what_you_see.core.backend import keras
from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.settings import Settings
from say_what_you_see.decoding.generate import generate
from say_what_you_see.decoding.probabilities import apply_temperature, softmax
from say_what_you_see.decoding.samplers import BeamSearch, Greedy, Sampler, Sampling, special_tokens
from say_what_you_see.language.captions import END, START, indices_to_sentence, invert_vocabulary
from say_what_you_see.models.architectures import step_model_of
from say_what_you_see.models.attention import as_grid, attention_model
from say_what_you_see.models.step import StepModel
from say_what_you_see.serving.captioner import Captioner, encoder_of
from say_what_you_see.serving.model_choice import DRAWINGS_ONLY
from say_what_you_see.serving.model_folder import load_caption_model
from say_what_you_see.vision.pictures import crop_and_resize, thumbnail

MAX_UPLOAD_BYTES = 20_000_000
"""Larger files are refused."""

KEPT_UPLOADS = 8
"""So many pictures of the user's own are remembered; then the oldest one goes."""

TEMPERATURES = (0.1, 3.0)
BEAMS = (2, 8)
_LIKELY_WORDS = 5
_THUMBNAIL_SIDE = 120


@dataclass(frozen=True)
class DemoModel:
    """A model to try.

    Attributes:
        name: what people read.
        captioner: what captions pictures.
        attention: from [features, words] to where the model looked, (batch, steps, regions), for models that look.
    """

    name: str
    captioner: Captioner
    attention: keras.Model | None = None


def load_demo_model(name: str, folder: Path, settings: Settings, others: Sequence[DemoModel] = ()) -> DemoModel:
    """Read a model folder and its encoder, like `load_captioner`, and keep the way to the model's attention.

    Args:
        others: models that are there already; of those with the same weights the encoder is shared.

    Raises:
        CourseError: as `load_captioner`.
    """
    model = load_caption_model(folder)
    encoder = encoder_of(model, settings, [other.captioner.encoder for other in others])
    kind = model.encoder["pictures_kind"]
    captioner = Captioner(encoder, step_model_of(model.decoder), model.vocab, kind)
    looks = model.decoder.name == "visual_attention"
    return DemoModel(name, captioner, attention_model(model.decoder) if looks else None)


# A caption and the steps that led to it


@dataclass(frozen=True)
class Step:
    """The choice of one word.

    Attributes:
        word: the chosen one; "END" for the end.
        probability: with which it was chosen.
        likely: the most probable words with their probabilities, the chosen one always among them.
    """

    word: str
    probability: float
    likely: list[tuple[str, float]]


@dataclass(frozen=True)
class Description:
    """A caption and how it came about.

    Attributes:
        captions: sentence and probability, the best first; more than one after beam search.
        finished: whether the best one came to its END.
        steps: the choice of each word of the best one.
        attention: where the model looked at each step, (steps, rows, columns); None for models that do not look.
    """

    captions: list[tuple[str, float]]
    finished: bool
    steps: list[Step]
    attention: np.ndarray | None = None


def describe(
    model: DemoModel, features: np.ndarray, sampler: Sampler, rng: np.random.Generator | None = None
) -> Description:
    """Caption one picture and follow the caption once more, step by step.

    Args:
        features: of one picture, (1, ...).
        sampler: the way of choosing words.
        rng: the source of randomness when sampling.
    """
    captioner, vocab = model.captioner, model.captioner.vocab
    found = generate(captioner.model, features, vocab, sampler, rng)
    words = invert_vocabulary(vocab)
    captions = [
        (indices_to_sentence(indices, words), math.exp(total))
        for indices, total in zip(found.indices[0], found.log_probabilities[0], strict=True)
        if np.isfinite(total)
    ]
    best, finished = found.indices[0, 0], bool(found.finished[0, 0])
    emitted = best[: int(np.argmax(best == vocab[END])) + 1] if finished else best
    temperature = sampler.temperature if isinstance(sampler, Sampling) else 1.0
    steps = follow_caption(captioner.model, features, emitted, vocab, temperature)
    attention = None
    if model.attention is not None:
        attention = follow_attention(model.attention, features, best, vocab)[: len(emitted)]
    return Description(captions, finished, steps, attention)


def follow_caption(
    model: StepModel, features: np.ndarray, emitted: Sequence[int], vocab: dict[str, int], temperature: float = 1.0
) -> list[Step]:
    """The probabilities from which each word of a caption was chosen.

    Args:
        features: of one picture, (1, ...).
        emitted: the caption's words, and END where it has one.
        temperature: by which the model's probabilities were sharpened or flattened.
    """
    names, suppressed = invert_vocabulary(vocab), list(special_tokens(vocab).suppressed)
    state, word, steps = model.start(features), vocab[START], []
    for chosen in map(int, emitted):
        logits, state = model.step(np.array([word]), state)
        probabilities = softmax(logits)[0].astype(np.float64)
        probabilities[suppressed] = 0  # never said
        if temperature != 1:
            probabilities = apply_temperature(probabilities, temperature)
        best = [int(index) for index in probabilities.argsort()[::-1][:_LIKELY_WORDS]]
        shown = best if chosen in best else [*best, chosen]
        likely = [(_shown(names[index]), float(probabilities[index])) for index in shown]
        steps.append(Step(_shown(names[chosen]), float(probabilities[chosen]), likely))
        word = chosen
    return steps


def follow_attention(
    attention: keras.Model, features: np.ndarray, caption: np.ndarray, vocab: dict[str, int]
) -> np.ndarray:
    """Where a model looked before each word of a caption (max_len,): (max_len, rows, columns), each sums to 1."""
    read = np.insert(caption[:-1], 0, vocab[START])[None].astype(np.int32)  # each step reads one word, emits the next
    return as_grid(attention.predict_on_batch([np.asarray(features, dtype=np.float32), read])[0])


def _shown(word: str) -> str:
    return "END" if word == END else word


# Pictures


@dataclass(frozen=True)
class ExamplePicture:
    """A picture to pick.

    Attributes:
        name: a short name.
        data: the bytes of the file.
        people: what people say of it, where that is known.
    """

    name: str
    data: bytes
    people: list[str] = field(default_factory=list)


@dataclass
class _KeptPicture:
    """A picture as the encoders want it: pixels by input shape, and features by encoder, once they are made."""

    squares: dict[tuple[int, int], np.ndarray]
    features: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)


def encode_png(pixels: np.ndarray) -> bytes:
    """The bytes of a PNG file, from uint8 RGB."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def data_url(pixels: np.ndarray) -> str:
    """A picture as text, which a browser shows without asking for more."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=90)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


# The questions of page and widget


class Demo:
    """Models and pictures to try; every answer is ready to be sent as JSON."""

    def __init__(self, models: Sequence[DemoModel], examples: Sequence[ExamplePicture] = ()) -> None:
        """Keep models, by their names, and the pictures to pick from."""
        self.models = {model.name: model for model in models}
        self.examples = list(examples)
        self._shapes = {model.captioner.encoder.input_shape for model in models}
        self._picked = {f"example-{i}": self._keep(example.data) for i, example in enumerate(self.examples)}
        self._uploads: OrderedDict[str, _KeptPicture] = OrderedDict()

    def answer(self, question: str, content: Mapping[str, Any] | bytes) -> dict[str, Any]:
        """Answer one question: "overview", "add" (a picture's bytes) or "caption" (a wish).

        Raises:
            CourseError: with a message for people.
        """
        if question == "add" and isinstance(content, bytes):
            return self.add_picture(content)
        if question == "caption" and isinstance(content, Mapping):
            return self.caption(content)
        if question == "overview":
            return self.overview()
        raise CourseError("The program does not understand the page. Load the page again.")

    def overview(self) -> dict[str, Any]:
        """What there is to choose."""
        models = [
            {"name": name, "looks": model.attention is not None, "note": _note(model.captioner)}
            for name, model in self.models.items()
        ]
        examples = [
            {
                "id": f"example-{i}",
                "name": example.name,
                "people": example.people,
                "thumbnail": data_url(thumbnail(example.data, _THUMBNAIL_SIDE)),
            }
            for i, example in enumerate(self.examples)
        ]
        limits = {"bytes": MAX_UPLOAD_BYTES, "temperature": TEMPERATURES, "beams": BEAMS, "uploads": KEPT_UPLOADS}
        return {"models": models, "examples": examples, "limits": limits}

    def add_picture(self, data: bytes) -> dict[str, Any]:
        """Take a picture of the user's own into memory.

        Raises:
            CourseError: if it is no picture, damaged, or too large.
        """
        if len(data) > MAX_UPLOAD_BYTES:
            raise CourseError(f"the file is larger than {MAX_UPLOAD_BYTES / 1e6:.0f} MB")
        kept, number = self._keep(data), secrets.token_hex(8)
        self._uploads[number] = kept
        while len(self._uploads) > KEPT_UPLOADS:
            self._uploads.popitem(last=False)
        return {"id": number, "thumbnail": data_url(thumbnail(data, _THUMBNAIL_SIDE))}

    def caption(self, wish: Mapping[str, Any]) -> dict[str, Any]:
        """Caption a picture as wished.

        Args:
            wish: "picture" (its id), "model" (its name), "method" ("greedy", "sample" or "beam"), and with
                them "temperature" and "seed", or "beams".

        Raises:
            CourseError: if the picture is not known any more, or the wish makes no sense.
        """
        number, model = str(wish.get("picture")), self.models.get(str(wish.get("model")))
        kept = self._picked.get(number) or self._uploads.get(number)
        if kept is None:
            raise CourseError("This picture is no longer in memory. Choose it again.")
        if model is None:
            raise CourseError("There is no such model. Load the page again.")
        sampler = decoding_of(wish)
        rng = np.random.default_rng(_whole(wish.get("seed", 0), 0, 2**31, "seed"))
        square = kept.squares[model.captioner.encoder.input_shape]
        encoder = model.captioner.encoder
        seen_by = encoder.weights_checksum, encoder.features
        if seen_by not in kept.features:
            kept.features[seen_by] = model.captioner.embed(square[None])
        return self._as_json(describe(model, kept.features[seen_by], sampler, rng), square)

    def warm_up(self) -> Iterator[None]:
        """Compile the ways of choosing words and the encoders, one at a time: each takes a second, which nobody should
        wait for.
        """
        for method in ("greedy", "sample", "beam") if self.examples else ():
            for name in self.models:
                self.caption({"picture": "example-0", "model": name, "method": method})
                yield
        for model in self.models.values():
            model.captioner.compile_encoder()
            yield

    def _keep(self, data: bytes) -> _KeptPicture:
        return _KeptPicture({shape: crop_and_resize(data, shape) for shape in self._shapes})

    @staticmethod
    def _as_json(description: Description, square: np.ndarray) -> dict[str, Any]:
        steps = [{"word": s.word, "probability": s.probability, "likely": s.likely} for s in description.steps]
        attention = None if description.attention is None else description.attention.round(5).tolist()
        return {
            "captions": description.captions,
            "finished": description.finished,
            "steps": steps,
            "attention": attention,
            "square": data_url(square),
        }


def decoding_of(wish: Mapping[str, Any]) -> Sampler:
    """The way of choosing words that a wish asks for.

    Raises:
        CourseError: if there is no such way, or a number is out of its range.
    """
    method = wish.get("method", "greedy")
    if method == "greedy":
        return Greedy()
    if method == "sample":
        return Sampling(_number(wish.get("temperature", 1.0), *TEMPERATURES, "temperature"))
    if method == "beam":
        return BeamSearch(_whole(wish.get("beams", 3), *BEAMS, "number of captions"))
    raise CourseError("There is no such way of choosing words. Load the page again.")


def _number(value: Any, low: float, high: float, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise CourseError(f"The {name} is a number from {low:g} to {high:g}.")
    return float(value)


def _whole(value: Any, low: int, high: int, name: str) -> int:
    if _number(value, low, high, name) != int(value):
        raise CourseError(f"The {name} is a whole number from {low} to {high}.")
    return int(value)


def _note(captioner: Captioner) -> str:
    """What must be said of a model before anything else."""
    if captioner.pictures_kind != "scenes":
        return ""
    note = DRAWINGS_ONLY.removeprefix("Note: ")
    return note[0].upper() + note[1:]

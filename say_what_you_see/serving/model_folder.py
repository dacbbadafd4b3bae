"""A model folder: everything that is needed to caption a picture, and a check that its parts belong together."""

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from say_what_you_see.core.backend import keras
from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import (
    atomic_path,
    check_is_no_folder,
    make_folder,
    sha256_of,
    write_errors_explained,
    write_json,
)
from say_what_you_see.core.keras_files import load_keras_file
from say_what_you_see.core.text import markdown_text
from say_what_you_see.core.weight_files import store_in_half_precision
from say_what_you_see.data.scenes.captions import NOUNS
from say_what_you_see.language.captions import invert_vocabulary
from say_what_you_see.models import architectures  # noqa: F401  registers the layers that the course brings with Keras
from say_what_you_see.serving.familiarity import FAMILIARITY_FILE, Familiarity
from say_what_you_see.serving.model_choice import FORMAT, PARTS, read_parts

ENCODER_FILE = "encoder.keras"
"""The file name of an encoder that is shared together with a model."""


@dataclass(frozen=True)
class CaptionModel:
    """A decoder with everything that belongs to it."""

    decoder: keras.Model  # from (embeddings, words) to the logits of each next word
    vocab: dict[str, int]  # word to index
    # name, weights (in words), weights_checksum and input_shape of the encoder, pictures_kind ("scenes" or
    # "photographs"), and encoder_setting: a name in keras.applications, or the name of a `.keras` file
    encoder: dict[str, Any]
    # data set, settings of the training, scores: whatever is worth knowing
    metadata: dict[str, Any] = field(default_factory=dict)
    folder: Path | None = field(default=None, compare=False)  # where it was read from
    # recognises photographs unlike its training data; None for drawn scenes and in older folders
    familiarity: Familiarity | None = field(default=None, compare=False)

    @property
    def encoder_file(self) -> str | None:
        """The name of its encoder's `.keras` file; None for encoders that go by a name."""
        setting = self.encoder["encoder_setting"]
        return setting if setting.endswith(".keras") else None


def save_caption_model(model: CaptionModel, folder: Path, half_precision: bool = False) -> None:
    """Write a model folder: decoder.keras, vocabulary.json, a model card and, last, model.json with checksums.

    Args:
        half_precision: store the decoder's matrices as float16, which takes half the space.
    """
    make_folder(folder)
    parts = [*PARTS, FAMILIARITY_FILE] if model.familiarity else PARTS
    for name in ("model.json", *parts):
        check_is_no_folder(folder / name)
    with write_errors_explained(folder / "model.json"):
        (folder / "model.json").unlink(missing_ok=True)  # without it the folder counts as unfinished
    plain = keras.Model(model.decoder.inputs, model.decoder.outputs, name=model.decoder.name)  # without its loss
    with atomic_path(folder / "decoder.keras") as partial:
        plain.save(partial)
        if half_precision:
            store_in_half_precision(partial)
    write_json(invert_vocabulary(model.vocab), folder / "vocabulary.json")
    if model.familiarity:
        model.familiarity.save(folder / FAMILIARITY_FILE)
    _describe(model, folder)


def note_metrics(model: CaptionModel, metrics: dict[str, Any]) -> None:
    """Add scores to the description in a model's folder; earlier ones stay if they are of the same pictures.

    Args:
        metrics: what was scored ("scored_on"), and for each sampler its metrics with their values, as text.
    """
    if model.folder:
        earlier = model.metadata.get("metrics", {})
        kept = earlier if earlier.get("scored_on") == metrics["scored_on"] else {}
        _describe(replace(model, metadata=model.metadata | {"metrics": kept | metrics}), model.folder)


def _describe(model: CaptionModel, folder: Path) -> None:
    """Write the card and, last, model.json."""
    with atomic_path(folder / "README.md") as partial:
        partial.write_text(model_card(model), encoding="utf-8")
    parts = [*PARTS, FAMILIARITY_FILE] if model.familiarity else PARTS
    checksums = {name: sha256_of(folder / name) for name in parts}
    metadata = {"format": FORMAT, "encoder": model.encoder, "checksums": checksums, **model.metadata}
    write_json(metadata, folder / "model.json")


def load_caption_model(folder: Path) -> CaptionModel:
    """Read a model folder.

    Raises:
        CourseError: if a part is missing, was changed, or does not fit the others.
    """
    if not (folder / "model.json").exists():
        raise CourseError(
            f"There is no finished caption model in {folder}. Train one with `say-what-you-see train`, name another "
            "folder with --model, or take the model that comes with the course: --model photos."
        )
    metadata, vocab, familiarity = read_parts(folder)
    del metadata["format"], metadata["checksums"]
    decoder = _load_decoder(folder / "decoder.keras")
    model = CaptionModel(decoder, vocab, metadata.pop("encoder"), metadata, folder, familiarity)
    _check_parts_fit(model, folder)
    return model


def _load_decoder(path: Path) -> keras.Model:
    try:
        decoder = load_keras_file(path)
        if not all(np.isfinite(weights).all() for weights in decoder.get_weights()):
            raise CourseError("some of its weights are not numbers (NaN)")
        return decoder
    except CourseError as error:
        raise CourseError(f"{path} cannot be used: {error}. Copy the folder again, or use another model.") from error


def _check_parts_fit(model: CaptionModel, folder: Path) -> None:
    """Refuse a decoder that was trained with another vocabulary, or on other features."""
    decoder, vocab = model.decoder, model.vocab
    outputs = getattr(decoder, "outputs", None) or []
    if len(outputs) != 1 or len(getattr(decoder, "inputs", None) or []) != 2:
        raise CourseError(f"{folder / 'decoder.keras'} is not a decoder from pictures and words to the next word.")
    logits = outputs[0].shape[-1]
    if logits != len(vocab):
        raise CourseError(f"In {folder} the decoder knows {logits} words, but vocabulary.json has {len(vocab)}.")
    features = decoder.inputs[0].shape[-1]
    if model.familiarity and model.familiarity.centroids.shape[1] != features:
        raise CourseError(f"In {folder} the decoder reads {features} features, but {FAMILIARITY_FILE} has others.")


def model_card(model: CaptionModel) -> str:
    """The README of a model folder, from the template `model_card.md`, with every text shown literally."""
    import jinja2  # only when there is a card to write

    metrics = model.metadata.get("metrics")
    scores = metrics.items() if isinstance(metrics, dict) else ()
    samplers = {name: values for name, values in scores if isinstance(values, dict)}
    layers = {layer.__module__ for layer in model.decoder.layers}
    environment = jinja2.Environment(finalize=_cell, trim_blocks=True, keep_trailing_newline=True)
    template = environment.from_string(Path(__file__).with_name("model_card.md").read_text(encoding="utf-8"))
    return template.render(
        model=model,
        encoder=model.encoder,
        metadata=model.metadata,
        things=sorted(NOUNS),
        own_modules=sorted(module for module in layers if module.startswith("say_what_you_see.")),
        samplers=samplers,
        metrics=list(dict.fromkeys(name for values in samplers.values() for name in values)),
    )


def _cell(text: Any) -> str:
    """A text for a cell of the card; ordinary names stay as they are."""
    return str(text) if re.fullmatch(r"[\w ,.:()-]*", str(text)) else markdown_text(text)

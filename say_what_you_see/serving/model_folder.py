"""A model folder: everything that is needed to caption a picture, and a check that its parts belong together."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from say_what_you_see.core.backend import keras
from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import (
    atomic_path,
    check_is_no_folder,
    make_folder,
    read_json,
    sha256_of,
    write_errors_explained,
    write_json,
)
from say_what_you_see.core.keras_files import load_keras_file
from say_what_you_see.core.text import markdown_text, visible
from say_what_you_see.data.scenes.captions import NOUNS
from say_what_you_see.language.captions import END, PAD, START, UNK, invert_vocabulary

FORMAT = 1
_KNOWS_SCENES = """The data set is made of drawn scenes: one to three things, each in one of a few colours. They are:
{things}.
A photograph is beyond this model.

"""
_PARTS = ("decoder.keras", "vocabulary.json")
_LONGEST_WORD = 1000
_ENCODER_FACTS = {"name", "weights", "weights_checksum", "pictures_kind", "encoder_setting"}
_CARD = """# A caption model

A decoder that writes a sentence about a picture, trained with the course *Say What You See*.

| what | value |
| --- | --- |
| data set | {dataset} |
| pictures, captions | {pictures}, {captions} |
| encoder | {encoder}, weights {weights} |
| vocabulary | {words} words |
| parameters | {parameters:,} |
{scores}

{knows}It describes what its data set shows, and nothing else: it will say something about any picture,
also where it knows nothing. Who appears in the pictures of a data set, and in which words, decides
who appears in its captions.

## Use

With the course installed, in its folder:

    say-what-you-see model install FOLDER --name NAME      # this folder, or the zip that it came in
    say-what-you-see caption --model NAME PHOTO

{needs}

## Files

`decoder.keras` ({loads}), `vocabulary.json` (the word of each
index), `model.json` (settings, scores and checksums).
"""

_NEEDS_FILE = """It needs the encoder that it was trained with, the file `{setting}`, to be had from whoever trained
it (SHA-256 of its weights: `{checksum}`).
Beside this file as `{file}`, or under its own name in the course's `data/`, it is found; else say where it is:
`--encoder PATH`. What it was trained on, and on what terms it may be given away, its author says."""
_NEEDS_NAME = "The encoder, {name}, comes by itself: with the course, or as a download of ImageNet weights."

ENCODER_FILE = "encoder.keras"
"""The name of an encoder that is given away together with a model."""


@dataclass(frozen=True)
class CaptionModel:
    """A decoder with what belongs to it.

    Attributes:
        decoder: from (embeddings, words) to the logits of each next word.
        vocab: word to index.
        encoder: name, weights (in words), weights_checksum and input_shape of the encoder,
            pictures_kind ("scenes" or "photographs"), and encoder_setting: a name in keras.applications,
            or the name of a `.keras` file.
        facts: data set, plan, scores: whatever is worth knowing.
        folder: where it was read from.
    """

    decoder: keras.Model
    vocab: dict[str, int]
    encoder: dict[str, Any]
    facts: dict[str, Any] = field(default_factory=dict)
    folder: Path | None = field(default=None, compare=False)

    @property
    def encoder_file(self) -> str | None:
        """The name of the `.keras` file that its encoder was, None for encoders that Keras knows by name."""
        setting = self.encoder["encoder_setting"]
        return setting if setting.endswith(".keras") else None


def save_caption_model(model: CaptionModel, folder: Path) -> None:
    """Write a model folder: decoder.keras, vocabulary.json, a model card and, last, model.json with checksums."""
    make_folder(folder)
    for name in ("model.json", *_PARTS):
        check_is_no_folder(folder / name)
    with write_errors_explained(folder / "model.json"):
        (folder / "model.json").unlink(missing_ok=True)  # without it the folder counts as unfinished
    plain = keras.Model(model.decoder.inputs, model.decoder.outputs, name=model.decoder.name)  # without its loss
    with atomic_path(folder / "decoder.keras") as partial:
        plain.save(partial)
    write_json(invert_vocabulary(model.vocab), folder / "vocabulary.json")
    with atomic_path(folder / "README.md") as partial:
        partial.write_text(_model_card(model), encoding="utf-8")
    checksums = {name: sha256_of(folder / name) for name in _PARTS}
    facts = {"format": FORMAT, "encoder": model.encoder, "checksums": checksums, **model.facts}
    write_json(facts, folder / "model.json")


def load_caption_model(folder: Path) -> CaptionModel:
    """Read a model folder.

    Raises:
        CourseError: if a part is missing, was changed, or does not fit the others.
    """
    if not (folder / "model.json").exists():
        raise CourseError(
            f"There is no finished caption model in {folder}. Train one with `make course`, or with "
            "`say-what-you-see train`, or name another folder with --model."
        )
    facts = read_json(folder / "model.json")
    if not _is_known(facts):
        raise CourseError(f"{folder / 'model.json'} is of a format that this version of the course does not know.")
    del facts["format"]
    checksums = facts.pop("checksums")
    for name in _PARTS:
        if not (folder / name).exists() or sha256_of(folder / name) != checksums.get(name):
            raise CourseError(f"{folder / name} is missing or does not belong to this model. Copy the folder again.")
    vocab = _read_vocabulary(folder / "vocabulary.json")
    decoder = _load_decoder(folder / "decoder.keras")
    _check_parts_fit(decoder, vocab, folder)
    return CaptionModel(decoder, vocab, facts.pop("encoder"), facts, folder)


def _is_known(facts: Any) -> bool:
    """Whether a model.json has everything that this version of the course reads in it."""
    if not isinstance(facts, dict) or facts.get("format") != FORMAT:
        return False
    checksums, encoder, scores = facts.get("checksums"), facts.get("encoder"), facts.get("scores", {})
    if not all(isinstance(part, dict) for part in (checksums, encoder, scores)) or not set(encoder) >= _ENCODER_FACTS:
        return False
    numbers = all(isinstance(score, int | float) for score in scores.values())
    return numbers and all(isinstance(encoder[name], str) for name in _ENCODER_FACTS)


def _read_vocabulary(path: Path) -> dict[str, int]:
    """Word to index, from a list of words that can be said: a model of somebody else's could hold anything."""
    words = read_json(path)
    if not isinstance(words, list) or not all(isinstance(word, str) and len(word) <= _LONGEST_WORD for word in words):
        raise CourseError(f"{path} is no list of words. Copy the folder again.")
    if strange := [word for word in words if not word or visible(word) != word or len(word.split()) != 1]:
        raise CourseError(f"{path} holds {strange[0]!r}, which is no word. Copy the folder again.")
    vocab = {word: index for index, word in enumerate(words)}
    if len(vocab) != len(words):
        raise CourseError(f"{path} lists a word twice. Copy the folder again.")
    return vocab


def _load_decoder(path: Path) -> keras.Model:
    """Read a decoder, which may consist of layers of Keras and of the course and of nothing else."""
    import_module("say_what_you_see.models.architectures")  # so that Keras knows the layers that the course brings
    try:
        return load_keras_file(path)
    except CourseError as error:
        raise CourseError(f"{path} cannot be used: {error}. Copy the folder again, or take another model.") from error
    except Exception as error:  # a damaged model can raise nearly anything
        raise CourseError(f"{path} is no model that can be loaded. Copy the folder again.") from error


def _check_parts_fit(decoder: keras.Model, vocab: dict[str, int], folder: Path) -> None:
    """Refuse a decoder that was trained with another vocabulary."""
    missing = [token for token in (PAD, UNK, START, END) if token not in vocab]
    if missing:
        raise CourseError(f"{folder / 'vocabulary.json'} lacks {', '.join(missing)}.")
    outputs = getattr(decoder, "outputs", None) or []
    if len(outputs) != 1 or len(getattr(decoder, "inputs", None) or []) != 2:
        raise CourseError(f"{folder / 'decoder.keras'} is no decoder, from pictures and words to the next word.")
    logits = outputs[0].shape[-1]
    if logits != len(vocab):
        raise CourseError(f"In {folder} the decoder knows {logits} words, but vocabulary.json has {len(vocab)}.")


def _model_card(model: CaptionModel) -> str:
    """The README of a model folder."""
    facts = {"dataset": "unknown", "pictures": "?", "captions": "?", **model.facts}
    scenes = model.encoder.get("pictures_kind") == "scenes"
    knows = _KNOWS_SCENES.format(things=", ".join(sorted(NOUNS))) if scenes else ""
    # Attention brings layers of its own, which Keras finds when the module that registers them is imported.
    own = sorted(
        {layer.__module__ for layer in model.decoder.layers if layer.__module__.startswith("say_what_you_see.")}
    )
    loads = f"Keras, loads after `import {', '.join(own)}`" if own else "Keras, loads without the course's code"
    scores = "\n".join(f"| {_in_card(name)} | {value:.3f} |" for name, value in facts.get("scores", {}).items())
    return _CARD.format(
        dataset=_in_card(facts["dataset"]), pictures=_in_card(facts["pictures"]), captions=_in_card(facts["captions"]),
        encoder=_in_card(model.encoder["name"]), weights=_in_card(model.encoder["weights"]), words=len(model.vocab),
        parameters=model.decoder.count_params(), scores=_time_row(facts) + scores, knows=knows,
        loads=loads, needs=_needs(model),
    )  # fmt: skip


def _time_row(facts: dict[str, Any]) -> str:
    """How long the training took, where that is known."""
    seconds = facts.get("training_seconds")
    return f"| time of training | {seconds / 60:.1f} minutes |\n" if isinstance(seconds, int | float) else ""


def _needs(model: CaptionModel) -> str:
    """Which encoder a model needs, and where to put it."""
    if model.encoder_file is None:
        return _NEEDS_NAME.format(name=_in_card(model.encoder["name"]))
    return _NEEDS_FILE.format(
        setting=_in_card(model.encoder_file), checksum=_in_card(model.encoder["weights_checksum"]), file=ENCODER_FILE
    )


def _in_card(text: Any) -> str:
    """A text for a cell of the card; names of the usual form stay as they are."""
    return str(text) if re.fullmatch(r"[\w ,.:()-]*", str(text)) else markdown_text(text)

"""A model folder: everything that is needed to caption a picture, and a check that its parts belong together."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from utils.captions import END, PAD, START, UNK, invert_vocabulary
from utils.errors import CourseError
from utils.files import atomic_path, read_json, sha256_of, write_json
from utils.quiet import keras
from utils.scenes.captions import NOUNS

FORMAT = 1
_KNOWS_SCENES = """The data set is made of drawn scenes: one to three things, each in one of a few colours. They are:
{things}.
A photograph is beyond this model.

"""
_PARTS = ("decoder.keras", "vocabulary.json")
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

Files: `decoder.keras` ({loads}), `vocabulary.json` (the word of each
index), `model.json` (settings, scores and checksums).
"""


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
    """

    decoder: keras.Model
    vocab: dict[str, int]
    encoder: dict[str, Any]
    facts: dict[str, Any] = field(default_factory=dict)


def save_caption_model(model: CaptionModel, folder: Path) -> None:
    """Write a model folder: decoder.keras, vocabulary.json, a model card and, last, model.json with checksums."""
    folder.mkdir(parents=True, exist_ok=True)
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
            "`python -m utils train`, or name another folder with --model."
        )
    facts = read_json(folder / "model.json")
    if not _is_known(facts):
        raise CourseError(f"{folder / 'model.json'} is of a format that this version of the course does not know.")
    del facts["format"]
    checksums = facts.pop("checksums")
    for name in _PARTS:
        if not (folder / name).exists() or sha256_of(folder / name) != checksums.get(name):
            raise CourseError(f"{folder / name} is missing or does not belong to this model. Copy the folder again.")
    import_module("utils.architectures")  # so that Keras knows the layers that the course brings
    words = read_json(folder / "vocabulary.json")
    vocab = {word: index for index, word in enumerate(words)}
    decoder = keras.saving.load_model(folder / "decoder.keras", compile=False, safe_mode=True)
    _check_parts_fit(decoder, vocab, folder)
    return CaptionModel(decoder, vocab, facts.pop("encoder"), facts)


def _is_known(facts: Any) -> bool:
    """Whether a model.json has everything that this version of the course reads in it."""
    if not isinstance(facts, dict) or facts.get("format") != FORMAT:
        return False
    checksums, encoder = facts.get("checksums"), facts.get("encoder")
    return isinstance(checksums, dict) and isinstance(encoder, dict) and set(encoder) >= _ENCODER_FACTS


def _check_parts_fit(decoder: keras.Model, vocab: dict[str, int], folder: Path) -> None:
    """Refuse a decoder that was trained with another vocabulary."""
    missing = [token for token in (PAD, UNK, START, END) if token not in vocab]
    if missing:
        raise CourseError(f"{folder / 'vocabulary.json'} lacks {', '.join(missing)}.")
    logits = decoder.outputs[0].shape[-1]
    if logits != len(vocab):
        raise CourseError(f"In {folder} the decoder knows {logits} words, but vocabulary.json has {len(vocab)}.")


def _model_card(model: CaptionModel) -> str:
    """The README of a model folder."""
    facts = {"dataset": "unknown", "pictures": "?", "captions": "?", **model.facts}
    scenes = model.encoder.get("pictures_kind") == "scenes"
    knows = _KNOWS_SCENES.format(things=", ".join(sorted(NOUNS))) if scenes else ""
    # Attention brings layers of its own, which Keras finds when the module that registers them is imported.
    own = sorted({layer.__module__ for layer in model.decoder.layers if layer.__module__.startswith("utils.")})
    loads = f"Keras, loads after `import {', '.join(own)}`" if own else "Keras, loads without the course's code"
    scores = "\n".join(f"| {name} | {value:.3f} |" for name, value in facts.get("scores", {}).items())
    return _CARD.format(
        dataset=facts["dataset"], pictures=facts["pictures"], captions=facts["captions"],
        encoder=model.encoder["name"], weights=model.encoder["weights"], words=len(model.vocab),
        parameters=model.decoder.count_params(), scores=scores, knows=knows,
        loads=loads,
    )  # fmt: skip

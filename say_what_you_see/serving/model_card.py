"""The README that goes with a model: what it was trained on, what it cannot do, what it needs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from say_what_you_see.core.text import markdown_text
from say_what_you_see.data.scenes.captions import NOUNS

if TYPE_CHECKING:
    from say_what_you_see.serving.model_folder import CaptionModel

_CARD = """# A caption model

A decoder that writes a sentence about a picture, trained with the course *Say What You See*.

| what | value |
| --- | --- |
| data set | {dataset}{terms} |
| pictures, captions | {pictures}, {captions} |
| encoder | {encoder}, weights {weights} |
| vocabulary | {words} words |
| parameters | {parameters:,} |
{scores}

{kind}It describes what its data set shows, and nothing else: it will say something about any picture,
even where it knows nothing. Who appears in the pictures of a data set, and in which words, decides
who appears in its captions.

## Use

With the course's package installed:

    say-what-you-see model install FOLDER --name NAME      # this folder, or the zip that it came in
    say-what-you-see caption --model NAME PHOTO

{needs}

## Files

`decoder.keras` ({loads}), `vocabulary.json` (the word of each
index), `model.json` (settings, scores and checksums).
"""
_SCENES = """The data set is made of drawn scenes: one to three things, each in one of a few colours. They are:
{things}.
A photograph is beyond this model.

"""
_PHOTOGRAPHS = """It learnt from photographs and from what people wrote about them. It knows what these show often, and
calls other things by the nearest of its words. It says "man", "woman", "boy" or "girl" of whoever looks like those whom
people called so: it guesses, and knows nothing of the person. Do not use it to decide anything about people.

"""
_DOUBTS = """`familiarity.npz` tells photographs that are unlike those of the training, and captions that are unlikely:
both are marked as doubtful, and each limit is kept by 95 % of the validation photographs.

"""
_METRICS = """Scores of its captions on {scored_on}, with 95 % intervals, times 100:

| metric | {samplers} |
| --- | {rules} |
{rows}

"""
_NEEDS_NAME = "The encoder, {name}, comes by itself: with a package, or as a download of ImageNet weights."
_NEEDS_FILE = """It needs the encoder that it was trained with, the file `{setting}`, to be had from whoever trained
it (SHA-256 of its weights: `{checksum}`).
Beside this file as `encoder.keras`, or under its own name in the data folder, it is found; else say where it is:
`--encoder PATH`. What it was trained on, and on what terms it may be given away, its author says."""


def model_card(model: CaptionModel) -> str:
    """The README of a model folder, in Markdown."""
    encoder, metadata = model.encoder, model.metadata
    needs = _NEEDS_NAME.format(name=_cell(encoder["name"]))
    if model.encoder_file:
        needs = _NEEDS_FILE.format(setting=_cell(model.encoder_file), checksum=_cell(encoder["weights_checksum"]))
    return _CARD.format(
        dataset=_cell(metadata.get("dataset", "unknown")),
        terms=f", {_cell(metadata['terms'])}" if "terms" in metadata else "",
        pictures=_cell(metadata.get("pictures", "?")),
        captions=_cell(metadata.get("captions", "?")),
        encoder=_cell(encoder["name"]),
        weights=_cell(encoder["weights"]),
        words=len(model.vocab),
        parameters=model.decoder.count_params(),
        scores="\n".join(f"| {name} | {value} |" for name, value in _scores(metadata).items()),
        kind=_about_pictures(model),
        needs=needs,
        loads=_about_layers(model),
    )


def _scores(metadata: dict[str, Any]) -> dict[str, str]:
    """What is worth knowing of the training."""
    scores, seconds, cider = {}, metadata.get("training_seconds"), metadata.get("cider_training")
    if isinstance(cider, dict):
        scores["then trained for CIDEr"] = f"{_cell(cider.get('epochs', '?'))} epochs"
    if isinstance(seconds, int | float):
        scores["time of training"] = f"{seconds / 60:.1f} minutes"
    return scores | {_cell(name): f"{value:.3f}" for name, value in metadata.get("scores", {}).items()}


def _about_layers(model: CaptionModel) -> str:
    layers = {layer.__module__ for layer in model.decoder.layers}
    own = ", ".join(sorted(module for module in layers if module.startswith("say_what_you_see.")))
    return f"Keras, loads after `import {own}`" if own else "Keras, loads without the course's code"


def _about_pictures(model: CaptionModel) -> str:
    """What the model knows, how well, and what it does not know."""
    if model.encoder.get("pictures_kind") == "scenes":
        about = _SCENES.format(things=", ".join(sorted(NOUNS)))
    else:
        about = _PHOTOGRAPHS + (_DOUBTS if model.familiarity else "")
    metrics = model.metadata.get("metrics")
    return about + (_metrics_table(metrics) if isinstance(metrics, dict) else "")


def _metrics_table(metrics: dict[str, Any]) -> str:
    """The table of `metrics`: "scored_on", and for each sampler the value and interval of each metric, as text."""
    samplers = {name: scores for name, scores in metrics.items() if isinstance(scores, dict)}
    names = list(dict.fromkeys(name for scores in samplers.values() for name in scores))
    rows = [[name, *(scores.get(name, "") for scores in samplers.values())] for name in names]
    return _METRICS.format(
        scored_on=_cell(metrics.get("scored_on", "?")),
        samplers=" | ".join(map(_cell, samplers)),
        rules=" | ".join(["---"] * len(samplers)),
        rows="\n".join(f"| {' | '.join(map(_cell, row))} |" for row in rows),
    )


def _cell(text: Any) -> str:
    """A text for a cell of the card; names of the usual form stay as they are."""
    return str(text) if re.fullmatch(r"[\w ,.:()-]*", str(text)) else markdown_text(text)

"""The README that goes with a model: what it was trained on, what it cannot do, what it needs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from say_what_you_see.core.text import markdown_text
from say_what_you_see.data.scenes.captions import NOUNS

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

{scenes}It describes what its data set shows, and nothing else: it will say something about any picture,
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
_NEEDS_NAME = "The encoder, {name}, comes by itself: with the package, or as a download of ImageNet weights."
_NEEDS_FILE = """It needs the encoder that it was trained with, the file `{setting}`, to be had from whoever trained
it (SHA-256 of its weights: `{checksum}`).
Beside this file as `encoder.keras`, or under its own name in the data folder, it is found; else say where it is:
`--encoder PATH`. What it was trained on, and on what terms it may be given away, its author says."""


def model_card(
    encoder: dict[str, Any], metadata: dict[str, Any], words: int, parameters: int, own_modules: Sequence[str]
) -> str:
    """The README of a model folder, in Markdown.

    Args:
        encoder, metadata: as of a `CaptionModel`.
        words: size of the vocabulary.
        parameters: number of the decoder's parameters.
        own_modules: modules of the course that Keras needs to load the decoder.
    """
    needs = _NEEDS_NAME.format(name=_cell(encoder["name"]))
    if encoder["encoder_setting"].endswith(".keras"):
        checksum = _cell(encoder["weights_checksum"])
        needs = _NEEDS_FILE.format(setting=_cell(encoder["encoder_setting"]), checksum=checksum)
    own = f"loads after `import {', '.join(own_modules)}`" if own_modules else "loads without the course's code"
    scores = [f"| {_cell(name)} | {value:.3f} |" for name, value in metadata.get("scores", {}).items()]
    seconds = metadata.get("training_seconds")
    if isinstance(seconds, int | float):
        scores.insert(0, f"| time of training | {seconds / 60:.1f} minutes |")
    return _CARD.format(
        dataset=_cell(metadata.get("dataset", "unknown")),
        pictures=_cell(metadata.get("pictures", "?")),
        captions=_cell(metadata.get("captions", "?")),
        encoder=_cell(encoder["name"]),
        weights=_cell(encoder["weights"]),
        words=words,
        parameters=parameters,
        scores="\n".join(scores),
        scenes=_SCENES.format(things=", ".join(sorted(NOUNS))) if encoder.get("pictures_kind") == "scenes" else "",
        needs=needs,
        loads=f"Keras, {own}",
    )


def _cell(text: Any) -> str:
    """A text for a cell of the card; names of the usual form stay as they are."""
    return str(text) if re.fullmatch(r"[\w ,.:()-]*", str(text)) else markdown_text(text)

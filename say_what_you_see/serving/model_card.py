"""The README that goes with a model, whose template is `model_card.md`: what it was trained on and cannot do, and needs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from say_what_you_see.core.text import markdown_text
from say_what_you_see.data.scenes.captions import NOUNS

if TYPE_CHECKING:
    from say_what_you_see.serving.model_folder import CaptionModel


def model_card(model: CaptionModel) -> str:
    """The README of a model folder, in Markdown, in which every text is shown as it is."""
    import jinja2  # not before there is a card to write

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
    """A text for a cell of the card; names of the usual form stay as they are."""
    return str(text) if re.fullmatch(r"[\w ,.:()-]*", str(text)) else markdown_text(text)

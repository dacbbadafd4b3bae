"""The models of the course by name: how each is rearranged for writing captions."""

from __future__ import annotations

from collections.abc import Callable

from say_what_you_see.core.backend import keras
from say_what_you_see.core.errors import CourseError
from say_what_you_see.decoding.generation import NextWordModel
from say_what_you_see.models.attention import rearrange_attention_model
from say_what_you_see.models.bottleneck_lstm import rearrange_decoder
from say_what_you_see.models.show_and_tell import rearrange_show_and_tell


def next_word_model(model: keras.Model) -> NextWordModel:
    """Rearrange a trained model of the course, whichever it is, to predict one next word at a time.

    Raises:
        CourseError: if it is none of the course's models.
    """
    rearrange = _REARRANGE.get(model.name)
    if rearrange is None:
        raise CourseError(
            f"There is no way to write captions with a model named {model.name!r}; known: {', '.join(_REARRANGE)}."
        )
    return rearrange(model)


_REARRANGE: dict[str, Callable[[keras.Model], NextWordModel]] = {
    "decoder": rearrange_decoder,
    "show_and_tell": rearrange_show_and_tell,
    "visual_attention": rearrange_attention_model,
}

"""The models of the course by name: how each is rearranged for writing captions."""

from __future__ import annotations

from collections.abc import Callable

from say_what_you_see.core.backend import keras
from say_what_you_see.core.errors import CourseError
from say_what_you_see.decoding.generation import NextWordModel
from say_what_you_see.models.attention import attention_step_model
from say_what_you_see.models.bottleneck_lstm import decoder_step_model
from say_what_you_see.models.show_and_tell import show_and_tell_step_model


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
    "decoder": decoder_step_model,
    "show_and_tell": show_and_tell_step_model,
    "visual_attention": attention_step_model,
}

"""The decoders by name: the function that makes the step model of each."""

from collections.abc import Callable

from say_what_you_see.core.backend import keras
from say_what_you_see.core.errors import CourseError
from say_what_you_see.models.attention import attention_step_model
from say_what_you_see.models.bottleneck_lstm import decoder_step_model
from say_what_you_see.models.keras_step import KerasStepModel
from say_what_you_see.models.show_and_tell import show_and_tell_step_model
from say_what_you_see.models.transformer import TransformerStepModel

STEP_MODELS: dict[str, Callable[[keras.Model], KerasStepModel]] = {
    "decoder": decoder_step_model,
    "show_and_tell": show_and_tell_step_model,
    "visual_attention": attention_step_model,
    "transformer": TransformerStepModel,
}


def step_model_of(model: keras.Model) -> KerasStepModel:
    """Any trained decoder as a model that predicts one word at a time."""
    if model.name not in STEP_MODELS:
        raise CourseError(
            f"A model named {model.name!r} cannot write captions; those that can are: {', '.join(STEP_MODELS)}."
        )
    try:
        return STEP_MODELS[model.name](model)
    except Exception as error:  # a layer is missing or has another shape: Keras raises many kinds of errors
        raise CourseError(f"The decoder cannot write captions ({error}). Use another model.") from error

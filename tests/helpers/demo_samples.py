"""Models and pictures for the tests of the demonstration."""

from pathlib import Path

import numpy as np

from say_what_you_see.core.settings import Settings
from say_what_you_see.course.features import encoder_metadata
from say_what_you_see.data.scenes.drawing import draw_crop
from say_what_you_see.data.scenes.scene import invent_scene
from say_what_you_see.models.attention import build_visual_attention
from say_what_you_see.page.demo import Demo, ExamplePicture, encode_png
from say_what_you_see.page.examples import load_demo_model
from say_what_you_see.serving.model_folder import CaptionModel, load_caption_model, save_caption_model
from say_what_you_see.vision.encoders import encoder_for


def drawn(index: int) -> np.ndarray:
    """A validation scene: uint8, (300, 300, 3)."""
    return draw_crop(invent_scene("val", index))


def example(index: int) -> ExamplePicture:
    """The same as a picture to pick."""
    return ExamplePicture(f"Scene {index}", encode_png(drawn(index)), [f"A drawing, number {index}."])


def save_random_attention_model(settings: Settings, folder: Path) -> None:
    """Leave the folder of a model that looks, with random weights so large that it looks somewhere in particular."""
    encoder = encoder_for(settings, "grid")
    vocab = load_caption_model(settings.model_folder).vocab
    model = build_visual_attention(len(vocab), *encoder.model.output_shape[1:], 12, 16, 12)
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(0, 0.8, weights.shape).astype(np.float32) for weights in model.get_weights()])
    save_caption_model(CaptionModel(model, vocab, encoder_metadata(encoder, settings)), folder)


def two_models(settings: Settings, folder: Path) -> Demo:
    """A demonstration with a model that looks and one that does not, and three scenes."""
    save_random_attention_model(settings, folder)
    models = [load_demo_model("Looks", folder, settings), load_demo_model("Decoder", settings.model_folder, settings)]
    return Demo(models, [example(index) for index in range(3)])

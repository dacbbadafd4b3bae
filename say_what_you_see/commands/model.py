"""`say-what-you-see model`: install, list and pack caption models."""

import argparse
from pathlib import Path

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.settings import Settings
from say_what_you_see.core.text import visible
from say_what_you_see.serving.model_choice import SHIPPED_MODELS, default_model, describe_models, find_model


def model(settings: Settings, options: argparse.Namespace) -> int:
    """Install, pack or list models."""
    if options.action == "install":
        _install(settings, options)
    elif options.action == "pack":
        _pack(settings, options)
    else:
        print(visible(describe_models(settings)))
    return 0


def _install(settings: Settings, options: argparse.Namespace) -> None:
    """Install a model; say how to use it, and which file it still needs."""
    from say_what_you_see.serving.model_install import install_model, missing_encoder

    folder = install_model(options.source, settings, options.name, options.checksum)
    print(f"Installed: {folder}")
    use, missing = f"say-what-you-see caption --model {folder.name}", missing_encoder(folder, settings)
    if missing is None:
        print(f"Use it: {use} PHOTO")
        return
    missing = visible(missing)
    print(
        f"It also needs the encoder {missing}, which did not come with it. Get that where the model came from and "
        f"put it into {settings.data_folder}, or name it each time.\nUse it: {use} --encoder FOLDER/{missing} PHOTO"
    )


def _pack(settings: Settings, options: argparse.Namespace) -> None:
    """Pack a model, and say what else its recipient needs."""
    from say_what_you_see.serving.model_folder import load_caption_model
    from say_what_you_see.serving.model_install import pack_model

    folder: Path = find_model(options.model, settings) if options.model else default_model(settings)
    if not options.model and folder in SHIPPED_MODELS.values():
        raise CourseError("No model was trained on photographs yet. Say which one to pack: --model FOLDER.")
    path = pack_model(folder, options.zip, settings if options.with_encoder else None, options.half_precision)
    print(f"Packed: {folder} into {path} ({path.stat().st_size / 1e6:.1f} MB)")
    encoder_file = load_caption_model(folder).encoder_file
    if encoder_file and options.with_encoder:
        print(f"It contains the encoder {visible(encoder_file)}. Make sure that its licence lets you share it.")
    elif encoder_file:
        print(
            f"Anyone who gets it also needs the encoder {visible(encoder_file)}. Share that file too, or pack it with "
            "--with-encoder, if its licence allows it."
        )

"""`say-what-you-see train`: the decoder of notebook 04, or its control."""

from __future__ import annotations

import argparse

from say_what_you_see.core.settings import Settings
from say_what_you_see.course.decoder import train, train_control


def run(settings: Settings, options: argparse.Namespace) -> int:
    """Train, and say where the result is."""
    if options.control:
        train_control(settings)
        print(f"Control: {settings.work_folder / 'checkpoints_control'}")
    else:
        train(settings)
        print(f"Model: {settings.model_folder}")
    return 0

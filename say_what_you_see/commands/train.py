"""`say-what-you-see train`: the decoder of notebook 04, 07 or 08, or the control of 04."""

from __future__ import annotations

import argparse

from say_what_you_see.core.settings import Settings
from say_what_you_see.course.lessons import LESSONS, train_control, train_lesson


def run(settings: Settings, options: argparse.Namespace) -> int:
    """Train, and say where the result is."""
    if options.control:
        train_control(settings)
        print(f"Control: {settings.work_folder / 'checkpoints_control'}")
    else:
        train_lesson(LESSONS[options.model], settings)
        print(f"Model: {LESSONS[options.model].model_folder(settings)}")
    return 0

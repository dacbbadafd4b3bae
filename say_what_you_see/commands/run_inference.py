"""`say-what-you-see run-inference`: captions by a checkpoint of train-records."""

from __future__ import annotations

import argparse

from say_what_you_see.core.settings import Settings
from say_what_you_see.serving.scale_inference import run_inference
from say_what_you_see.training.scale.folder import scale_folders


def run(settings: Settings, options: argparse.Namespace) -> int:
    """Caption picture files; the exit status is 1 if one of them could not be read."""
    checkpoint = options.checkpoint or scale_folders(settings).train
    return run_inference(checkpoint, options.photos, options.beam, options.max_len)

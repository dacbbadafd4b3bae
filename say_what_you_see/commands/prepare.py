"""`say-what-you-see prepare`: the vocabulary, and the captions as numbers."""

from __future__ import annotations

import argparse

from say_what_you_see.core.settings import Settings
from say_what_you_see.course.captions import load_vocabulary, prepare_captions


def run(settings: Settings, options: argparse.Namespace) -> int:
    """Prepare the captions of the data set."""
    prepare_captions(settings)
    print(f"Vocabulary: {len(load_vocabulary(settings))} words")
    return 0

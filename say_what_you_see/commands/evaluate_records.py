"""`say-what-you-see evaluate-records`: the perplexity of each checkpoint, while the training goes on."""

from __future__ import annotations

import argparse
import sys

from say_what_you_see.core.settings import Settings
from say_what_you_see.evaluation.scale import EvaluationConfig, evaluate_records
from say_what_you_see.training.scale.folder import ScaleFolders, scale_folders


def run(settings: Settings, options: argparse.Namespace) -> int:
    """Evaluate checkpoints as they appear, or those that are there."""
    folders = ScaleFolders(options.folder) if options.folder else scale_folders(settings)
    records = options.records or settings.dataset_folder / "records"
    config = EvaluationConfig(records, folders.train, folders.evaluation, options.shards, options.batch_size)

    def report(result) -> None:
        text = f"step {result.step}: perplexity {result.perplexity:.3f}, loss {result.loss:.4f} nats a word"
        print(f"{text} ({result.words:,} words, {result.seconds:.0f} s)", flush=True)

    if not evaluate_records(config, options.once, options.timeout, report):
        print("Nothing new to evaluate.", file=sys.stderr)
    return 0

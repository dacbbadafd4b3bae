"""`say-what-you-see records`: the data set as TFRecords."""

from __future__ import annotations

import argparse

from say_what_you_see.core.settings import Settings
from say_what_you_see.core.text import visible
from say_what_you_see.training.scale.records import write_records


def run(settings: Settings, options: argparse.Namespace) -> int:
    """Write the shards and show what they hold."""
    counts = {split: getattr(options, f"{split}_shards") for split in ("train", "val", "test")}
    given = {split: count for split, count in counts.items() if count is not None}
    records = write_records(settings, options.records, given, options.workers)
    print(visible(f"{records.show()}\nRecords: {records.folder}"))
    return 0

"""`say-what-you-see train-records`: im2txt's training, on one machine or several."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import Any

from say_what_you_see.core.settings import Settings
from say_what_you_see.training.scale.devices import choose_strategy
from say_what_you_see.training.scale.folder import (
    ScaleFolders,
    latest_checkpoint,
    model_config,
    read_config,
    scale_folders,
)
from say_what_you_see.training.scale.training import PHASE_1, PHASE_2, ScaleTraining, train_on_records
from say_what_you_see.vision.cnn import cnn_for, encoder_side_length


def run(settings: Settings, options: argparse.Namespace) -> int:
    """Train up to a step."""
    strategy = choose_strategy()  # several machines have to find each other before TensorFlow is asked anything else
    records = options.records or settings.dataset_folder / "records"
    folder = (ScaleFolders(options.folder) if options.folder else scale_folders(settings)).train
    kept = read_config(folder) if latest_checkpoint(folder) else None  # sizes that are not given are as before
    side = options.side or (kept.side if kept else encoder_side_length(settings))
    sizes = {"embedding_size": options.units, "lstm_units": options.units, "dropout": options.dropout}
    sizes = {name: getattr(kept, name) if kept and size is None else size for name, size in sizes.items()}
    config = model_config(records, settings.encoder_name, side, **_given(sizes))
    rates = _given({"start": options.learning_rate, "warm_up": options.warm_up})
    training = ScaleTraining(
        records,
        folder,
        options.steps,
        options.batch_size,
        options.train_inception,
        replace(PHASE_2 if options.train_inception else PHASE_1, **rates),
        seed=settings.seed,
        save_every=options.save_every,
        keep=options.keep,
        log_every=options.log_every,
        precision=options.precision,
    )
    state = train_on_records(training, config, lambda: cnn_for(settings, side), strategy)
    print(f"Step {state.steps_done}, checkpoints in {folder}")
    return 0


def _given(values: dict[str, Any]) -> dict[str, Any]:
    """Those that are not None."""
    return {name: value for name, value in values.items() if value is not None}

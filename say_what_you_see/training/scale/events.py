"""TensorBoard's event files: writing scalars, and reading them back for a plot that needs no server."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf


def write_scalars(writer: tf.summary.SummaryWriter, step: int, values: Mapping[str, float]) -> None:
    """Write one value under each tag; on return they are on the disk."""
    # TensorFlow keeps each Python number that became a tensor until the process ends; it does not keep NumPy's.
    with writer.as_default(step=np.int64(step)):
        for tag, value in values.items():
            tf.summary.scalar(tag, np.float32(value))
    writer.flush()


def read_scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """By tag the curves in the event files of a folder: pairs of a step and a value, in the order of the steps.

    Of a step that was done twice, the latest value counts.
    """
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found, curves = EventAccumulator(str(folder), size_guidance={"tensors": 0}).Reload(), {}
    for tag in found.Tags()["tensors"]:
        if found.SummaryMetadata(tag).plugin_data.plugin_name == "scalars":
            events = sorted(found.Tensors(tag), key=lambda event: event.wall_time)
            latest = {event.step: float(tf.make_ndarray(event.tensor_proto)) for event in events}
            curves[tag] = sorted(latest.items())
    return curves

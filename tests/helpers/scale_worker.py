"""One process of a training on several devices, for tests: `scale_worker.py DEVICES RECORDS FOLDER WEIGHTS`.

DEVICES is "workers" (TF_CONFIG says with whom) or "mirrored" (two virtual devices in this process).
The weights that this process ends with go to WEIGHTS-(its index).npz.
"""

import json
import os
import sys
from pathlib import Path


def main(devices: str, records: Path, folder: Path, weights: Path) -> None:
    from say_what_you_see.core.backend import suppress_stderr

    with suppress_stderr():
        import tensorflow as tf
    if devices == "mirrored":
        halves = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], halves)
    from say_what_you_see.training.scale.devices import choose_strategy

    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]) if devices == "mirrored" else choose_strategy()

    import numpy as np
    from scale_samples import distributed_training, tiny_cnn, tiny_config

    from say_what_you_see.training.scale.training import train_on_records

    state = train_on_records(
        distributed_training(records, folder), tiny_config(records, dropout=0.0), tiny_cnn, strategy
    )
    index = json.loads(os.environ.get("TF_CONFIG", '{"task": {"index": 0}}'))["task"]["index"]
    np.savez(f"{weights}-{index}.npz", *state.model.get_weights())
    chief = strategy.extended.should_checkpoint
    print(f"{strategy.num_replicas_in_sync} replicas, chief {chief}, step {state.steps_done}")


if __name__ == "__main__":
    main(sys.argv[1], *map(Path, sys.argv[2:]))

"""Which devices take part in a training: one, all GPUs of a machine, or several machines."""

import json
import os

import tensorflow as tf

from say_what_you_see.core.backend import keras
from say_what_you_see.core.errors import CourseError


def choose_strategy() -> tf.distribute.Strategy:
    """How the work is divided: over machines where TF_CONFIG names several, else over all GPUs of this one.

    It must be called before anything else that uses TensorFlow.
    """
    text = os.environ.get("TF_CONFIG", "")
    try:
        cluster = json.loads(text).get("cluster", {}) if text else {}
        workers = sum(len(addresses) for job, addresses in cluster.items() if job in ("chief", "worker"))
        if workers > 1:
            return tf.distribute.MultiWorkerMirroredStrategy()
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise CourseError(
            f"TF_CONFIG is {text!r}, which is not what TensorFlow expects, such as "
            '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker", "index": 0}}.'
        ) from error
    if len(tf.config.list_physical_devices("GPU")) > 1:
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()


def choose_precision() -> str:
    """The dtype policy for the CNN: half precision where the GPUs have units for it, else float32."""
    gpus = tf.config.list_physical_devices("GPU")
    details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
    capability = min((detail.get("compute_capability", (0, 0)) for detail in details), default=(0, 0))
    if capability >= (8, 0):
        return "mixed_bfloat16"
    return "mixed_float16" if capability >= (7, 0) else "float32"


def set_precision(cnn: keras.Model, policy: str) -> None:
    """Have the CNN compute in a Keras dtype policy such as "mixed_bfloat16"; its parameters stay float32."""
    for layer in cnn.layers:
        if isinstance(layer, keras.Model):
            set_precision(layer, policy)
        elif not isinstance(layer, keras.layers.InputLayer):
            layer.dtype_policy = keras.dtype_policies.get(policy)

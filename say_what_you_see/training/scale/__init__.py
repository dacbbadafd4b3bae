"""Training at scale, as im2txt does it: sharded records, two phases, several devices, evaluation beside it.

Here TensorFlow does more than compute for Keras: it reads the records (tf.data), divides the work among devices
(tf.distribute) and keeps the checkpoints. So this part, and only this one, needs the TensorFlow backend.
"""

from say_what_you_see.core.backend import keras
from say_what_you_see.core.errors import CourseError

if keras.config.backend() != "tensorflow":
    raise CourseError(
        "Training at scale uses TensorFlow's records, tf.data and tf.distribute, but Keras runs on "
        f"{keras.config.backend()} here. Start it with KERAS_BACKEND=tensorflow."
    )

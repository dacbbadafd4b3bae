"""Captions a picture with TensorFlow and Keras as their guides do: load both models, `predict` once for each word.

`python -m benchmarks.peers.plain_tensorflow ENCODER.keras DECODER.keras VOCABULARY.json PICTURE` prints a caption. The
models are the course's, saved with Keras; nothing of the course is imported.
"""

import json
import sys

MAX_WORDS = 20


def main(encoder_path: str, decoder_path: str, vocabulary: str, picture: str) -> None:
    """Print the caption of a picture."""
    import numpy as np
    import tensorflow as tf
    from tensorflow import keras

    encoder, decoder = (keras.models.load_model(path) for path in (encoder_path, decoder_path))
    with open(vocabulary, encoding="utf-8") as file:
        words = json.load(file)
    pixels = keras.utils.img_to_array(keras.utils.load_img(picture, target_size=encoder.input_shape[1:3]))
    features = encoder.predict(keras.applications.inception_v3.preprocess_input(pixels[None]), verbose=0)
    caption = np.full((1, MAX_WORDS), words.index("#PAD#"), "int32")
    caption[0, 0] = words.index("#START#")
    for place in range(MAX_WORDS - 1):
        logits = decoder.predict([features, caption], verbose=0)[0, place]
        logits[[words.index(token) for token in ("#PAD#", "#START#", "#UNK#")]] = -np.inf
        chosen = int(tf.argmax(logits))
        if words[chosen] == "#END#":
            break
        caption[0, place + 1] = chosen
    said = [words[index] for index in caption[0, 1:] if words[index] != "#PAD#"]
    print(" ".join(said))


if __name__ == "__main__":
    main(*sys.argv[1:])

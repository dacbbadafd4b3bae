"""Every exercise: right answers pass, and typical mistakes are recognised."""

import re
from collections import Counter

import numpy as np
import pytest
from exercise_samples import named, report_on

from say_what_you_see.core.backend import keras
from say_what_you_see.decoding.samplers import Greedy
from say_what_you_see.exercises.exercise import MODULES, exercises_of
from say_what_you_see.models import attention
from say_what_you_see.models.keras_step import KerasStepModel
from utils.check import check

layers, ops = keras.layers, keras.ops
EXERCISES = [exercise for notebook in MODULES for exercise in exercises_of(notebook)]
MISTAKES = [(exercise, mistake) for exercise in EXERCISES for mistake in exercise.mistakes]
pytestmark = pytest.mark.usefixtures("data_folder")


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.name)
def test_the_reference_is_right(exercise, capsys):
    assert check(named(exercise.reference, exercise.name)) is None
    assert re.fullmatch(rf"{exercise.name}: right\. \d+ cases, [1-9] of them random\.\n", capsys.readouterr().out)


@pytest.mark.parametrize(("exercise", "mistake"), MISTAKES, ids=lambda part: part.name)
def test_a_typical_mistake_is_recognised_by_name(exercise, mistake, capsys):
    report, message = report_on(mistake.wrong, exercise.name, capsys)
    assert message == f"{exercise.name} is not right yet: {mistake.name}."
    assert f"What seems to be wrong: {mistake.name}." in report and f"Hint: {mistake.hint}" in report


# Other right answers than the course's own


class Answers:
    """Functions and classes under the names of their exercises."""

    def build_decoder(
        vocab_size, feature_size, image_bottleneck=120, word_size=100, lstm_units=300, logit_bottleneck=120, dropout=0.0
    ):
        words = layers.Input((None,), dtype="int32")
        vectors = layers.Embedding(vocab_size, word_size, name="word_embedding")(words)
        picture = layers.Input((feature_size,))
        seen = layers.Normalization(axis=-1, name="standardise")(picture)
        seen = ops.elu(layers.Dense(image_bottleneck, name="image_bottleneck")(seen))
        seen = layers.Dropout(dropout)(seen)
        state = layers.Dense(lstm_units, activation=keras.activations.elu, name="initial_state")(seen)
        lstm = layers.LSTM(lstm_units, return_sequences=True, return_state=True, name="lstm")
        hidden, *_ = lstm(vectors, initial_state=(state, state))
        hidden = layers.Dropout(dropout)(hidden)
        per_word = layers.Dense(logit_bottleneck, activation="elu", name="logit_bottleneck")(hidden)
        return keras.Model([picture, words], layers.Dense(vocab_size, name="logits")(per_word))

    def masked_crossentropy(pad_idx):
        def loss(words, logits):
            words = ops.cast(words, "int32")
            chosen = ops.sum(ops.one_hot(words, logits.shape[-1]) * logits, axis=-1)
            losses = ops.logsumexp(logits, axis=-1) - chosen
            real = ops.cast(words != pad_idx, "float32")
            return ops.sum(ops.where(words != pad_idx, losses, 0.0)) / (ops.sum(real) + 1e-9)

        return loss

    def generate_batch(image_embeds, captions, batch_size, rng, max_len=20):
        pictures = rng.choice(captions.n_images, size=batch_size)
        rows = [rng.choice(np.arange(captions.first[p], captions.first[p + 1])) for p in pictures]
        sentences = np.array(captions.matrix[rows, :max_len], dtype="int32")
        words, next_words = sentences[:, :-1].copy(), sentences[:, 1:].copy()
        return (image_embeds[pictures].astype("float32"), words), next_words

    def decoder_step_model(decoder):
        picture = layers.Input(decoder.inputs[0].shape[1:])
        seen = picture
        for name in ("standardise", "image_bottleneck", "initial_state"):
            seen = decoder.get_layer(name)(seen)
        lstm = decoder.get_layer("lstm")
        word, c, h = layers.Input((), dtype="int32"), layers.Input((lstm.units,)), layers.Input((lstm.units,))
        _, (new_h, new_c) = lstm.cell(decoder.get_layer("word_embedding")(word), (h, c))
        logits = decoder.get_layer("logits")(decoder.get_layer("logit_bottleneck")(new_h))
        return KerasStepModel(keras.Model(picture, [seen, seen]), keras.Model([word, c, h], [logits, new_c, new_h]))

    def greedy_search(next_word, state, tokens, max_len=20):
        [[words]], _ = Greedy(max_len).write(next_word, state, tokens, np.empty((1, 0)))
        return words[: np.argmax(words == tokens.end) + 1] if tokens.end in words else words

    def apply_temperature(probabilities, t):
        if t <= 0:
            raise ValueError("no temperature")
        logs = np.log(np.asarray(probabilities, dtype=np.float64)) / t
        powers = np.exp(logs - logs.max(axis=-1, keepdims=True))
        return powers / powers.sum(axis=-1, keepdims=True)

    class AttentionCell(attention.AttentionCell):
        def call(self, word, hidden, regions, keys, trace_shapes=False):
            context, weights = self.attention(hidden, regions, keys)
            _, state = self.gru(ops.concatenate((context, word), axis=1), (hidden,))
            return state[0] if isinstance(state, (list, tuple)) else state, weights

    def scaled_dot_product_attention(queries, keys, values, mask=None):
        scores = ops.einsum("...qd,...kd->...qk", queries, keys) / np.sqrt(keys.shape[-1])
        if mask is not None:
            scores += (1 - ops.cast(mask, "float32")) * -1e9
        weights = ops.softmax(scores)
        return ops.einsum("...qk,...ks->...qs", weights, values), weights

    def count_ngrams(words, n):
        return Counter(zip(*(words[i:] for i in range(n)), strict=False))

    def causal_mask(queries, keys):
        return np.tril(np.ones((keys, keys), dtype=bool))[keys - queries :]


ANSWERS = {name: answer for name, answer in vars(Answers).items() if not name.startswith("_")}


@pytest.mark.parametrize("exercise", ANSWERS)
def test_another_right_answer_passes(exercise):
    assert check(named(ANSWERS[exercise], exercise)) is None

"""Other right answers than the course's own pass the checks of the exercises, and reports say what differs."""

from collections import Counter

import numpy as np
import pytest
from exercise_samples import assert_right, report_on

from say_what_you_see.core.backend import keras
from say_what_you_see.evaluation.bleu_by_hand import brevity_penalty, clipped_matches
from say_what_you_see.models import attention
from say_what_you_see.models.keras_step import KerasStepModel

layers, ops = keras.layers, keras.ops
pytestmark = pytest.mark.usefixtures("data_folder")


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
        caption, word = [], tokens.start
        for _ in range(max_len):
            log_p, state = next_word(np.array([word]), state)
            word = np.argmax(log_p, axis=-1)[0]
            caption.append(word)
            if word == tokens.end:
                break
        return np.array(caption)

    def apply_temperature(probabilities, t):
        if t <= 0:
            raise ValueError("no temperature")
        logs = np.log(np.asarray(probabilities, dtype=np.float64)) / t
        powers = np.exp(logs - logs.max(axis=-1, keepdims=True))
        return powers / powers.sum(axis=-1, keepdims=True)

    def beam_search(next_word, state, tokens, k=3, alpha=0.0, max_len=20):
        beams, remembered = [{"words": [], "total": 0.0, "state": state, "done": False}], []
        for _ in range(max_len):
            if all(beam["done"] for beam in beams):
                break
            candidates = []
            for beam in beams:
                if beam["done"]:
                    candidates.append(beam)
                    continue
                last = beam["words"][-1] if beam["words"] else tokens.start
                log_p, new = next_word(np.array([last]), beam["state"])
                for word in np.argsort(-log_p[0])[:k]:
                    words, total = [*beam["words"], int(word)], beam["total"] + float(log_p[0][word])
                    candidates.append({"words": words, "total": total, "state": new, "done": word == tokens.end})
            candidates.sort(key=lambda beam: -beam["total"] / len(beam["words"]) ** alpha)
            beams = candidates[:k]
            remembered += [beam for beam in beams if beam["done"] and not any(beam is other for other in remembered)]
        remembered += [beam for beam in beams if not beam["done"]]
        remembered.sort(key=lambda beam: -beam["total"] / len(beam["words"]) ** alpha)
        return [(beam["words"], beam["total"]) for beam in remembered[:k]]

    def bleu_by_hand(candidate, references, n=4):
        words, others = candidate.split(), [reference.split() for reference in references]
        pairs = [clipped_matches(words, others, size) for size in range(1, n + 1)]
        if not all(matches for matches, _ in pairs):
            return 0.0
        mean = np.mean([np.log(matches / total) for matches, total in pairs])
        return float(np.exp(mean) * brevity_penalty(len(words), [len(other) for other in others]))

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
    assert_right(ANSWERS[exercise], exercise)


def test_a_report_on_a_batch_says_which_fact_is_not_so(capsys):
    def draw(image_embeds, captions, batch_size, rng, max_len=20):
        return np.zeros((batch_size, 3), np.float32), np.zeros((batch_size, 5), np.int32)

    report, _ = report_on(draw, "generate_batch", capsys)
    assert "expected  form: '((embeddings, words), next words)'" in report
    assert "received  form: '(an array, an array)'" in report


def test_a_loop_that_never_ends_is_stopped(capsys):
    def write(next_word, state, tokens, max_len=20):
        while True:
            _, state = next_word(np.array([tokens.start]), state)

    _, message = report_on(write, "greedy_search", capsys)
    assert "not right yet" in message


def test_the_naive_temperature_learns_of_small_floats_and_of_zero(capsys):
    def temper(probabilities, t):
        powers = probabilities ** (1 / t)
        return powers / powers.sum(axis=-1, keepdims=True)

    _, message = report_on(temper, "apply_temperature", capsys)
    assert "too small for a float" in message and "t = 0 is not refused" in message

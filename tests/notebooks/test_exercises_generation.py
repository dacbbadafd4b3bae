"""The exercises of notebook 05: other right answers than the course's pass, and reports say what differs."""

from __future__ import annotations

import numpy as np
import pytest
from exercise_samples import assert_right, report_on

from say_what_you_see.core.backend import keras
from say_what_you_see.models.keras_step import KerasStepModel

layers = keras.layers
pytestmark = pytest.mark.usefixtures("data_folder")


def test_a_step_by_the_layer_instead_of_its_cell_and_c_before_h():
    def step_model(decoder):
        picture = layers.Input(decoder.inputs[0].shape[1:])
        seen = picture
        for name in ("standardise", "image_bottleneck", "initial_state"):
            seen = decoder.get_layer(name)(seen)
        lstm = decoder.get_layer("lstm")
        word, c, h = layers.Input((), dtype="int32"), layers.Input((lstm.units,)), layers.Input((lstm.units,))
        _, (new_h, new_c) = lstm.cell(decoder.get_layer("word_embedding")(word), (h, c))
        logits = decoder.get_layer("logits")(decoder.get_layer("logit_bottleneck")(new_h))
        return KerasStepModel(keras.Model(picture, [seen, seen]), keras.Model([word, c, h], [logits, new_c, new_h]))

    assert_right(step_model, "decoder_step_model")


def test_a_greedy_loop_with_a_for():
    def write(next_word, state, tokens, max_len=20):
        caption, word = [], tokens.start
        for _ in range(max_len):
            log_p, state = next_word(np.array([word]), state)
            word = np.argmax(log_p, axis=-1)[0]
            caption.append(word)
            if word == tokens.end:
                break
        return np.array(caption)

    assert_right(write, "greedy_search")


def test_a_loop_that_never_ends_is_stopped(capsys):
    def write(next_word, state, tokens, max_len=20):
        while True:
            _, state = next_word(np.array([tokens.start]), state)

    _, message = report_on(write, "greedy_search", capsys)
    assert "not right yet" in message


def test_a_temperature_with_numpy():
    def temper(probabilities, t):
        if t <= 0:
            raise ValueError("no temperature")
        logs = np.log(np.asarray(probabilities, dtype=np.float64)) / t
        powers = np.exp(logs - logs.max(axis=-1, keepdims=True))
        return powers / powers.sum(axis=-1, keepdims=True)

    assert_right(temper, "apply_temperature")


def test_the_naive_temperature_learns_of_small_floats_and_of_zero(capsys):
    def temper(probabilities, t):
        powers = probabilities ** (1 / t)
        return powers / powers.sum(axis=-1, keepdims=True)

    _, message = report_on(temper, "apply_temperature", capsys)
    assert "too small for a float" in message and "t = 0 is not refused" in message


def test_a_beam_search_with_dictionaries_that_stops_early():
    def search(next_word, state, tokens, k=3, alpha=0.0, max_len=20):
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

    assert_right(search, "beam_search")

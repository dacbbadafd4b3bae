"""The exercises of notebook 05: other right answers than the course's pass, and reports say what differs."""

from __future__ import annotations

import numpy as np
import pytest
from exercise_samples import assert_right, report_on

from say_what_you_see.core.backend import keras
from say_what_you_see.decoding.beam_search import Beams
from say_what_you_see.models.keras_step import KerasStepModel

layers, ops = keras.layers, keras.ops
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


def test_captions_written_by_a_plain_loop():
    def write(next_word, state, choose, tokens, max_len):
        rows = len(state)
        captions, total = np.full((rows, max_len), tokens.end), np.zeros(rows)
        words, done = np.full(rows, tokens.start), np.zeros(rows, dtype=bool)
        for position in range(max_len):
            log_probs, state = next_word(words, state)
            words = np.array(choose(log_probs, np.arange(rows), position))
            for row in range(rows):
                if not done[row]:
                    captions[row, position] = words[row]
                    total[row] += float(log_probs[row][words[row]])
                    done[row] = words[row] == tokens.end
            if done.all():
                break
        return captions, total, done

    assert_right(write, "write_captions")


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


def test_beams_one_by_one_with_lists():
    def extend(beams, log_probs, position, sampler, tokens):
        words, captions, finished, lengths, total = map(np.array, beams)
        rows = []
        for picture in range(len(words)):
            options = []
            for beam in range(words.shape[1]):
                if finished[picture, beam]:
                    found = [(tokens.end, total[picture, beam], lengths[picture, beam])]
                else:
                    length = lengths[picture, beam] + 1
                    added = np.array(log_probs[picture, beam])
                    found = [(word, total[picture, beam] + gain, length) for word, gain in enumerate(added)]
                options += [(t / n**sampler.length_penalty, beam, word, t, n) for word, t, n in found]
            rows.append(sorted(options, reverse=True)[: sampler.k])
        new = Beams(*(np.zeros((len(rows), sampler.k, *part.shape[2:]), part.dtype) for part in map(np.array, beams)))
        parents = np.zeros((len(rows), sampler.k), dtype=int)
        for picture, best in enumerate(rows):
            for place, (_, beam, word, t, n) in enumerate(best):
                parents[picture, place] = beam
                new.words[picture, place], new.total[picture, place], new.lengths[picture, place] = word, t, n
                new.captions[picture, place] = captions[picture, beam]
                new.captions[picture, place, position] = word
                new.finished[picture, place] = finished[picture, beam] or word == tokens.end
        return new, parents

    assert_right(extend, "extend_beams")

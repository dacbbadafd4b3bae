"""The decoder in NumPy: the captions of Keras, by the weights of now; and which models have to do without it."""

import numpy as np
import pytest
from attention_samples import REGIONS, opinionated_attention
from caption_samples import FEATURES, VOCAB, opinionated, opinionated_decoder

from say_what_you_see.core.backend import keras
from say_what_you_see.decoding.attended_captions import attention_grids
from say_what_you_see.decoding.beam_search import BeamSearch
from say_what_you_see.decoding.generate import GeneratedCaptions, generate
from say_what_you_see.decoding.samplers import Greedy, Sampling
from say_what_you_see.language.captions import START
from say_what_you_see.models.architectures import step_model_of
from say_what_you_see.models.attention import attention_model
from say_what_you_see.models.bottleneck_lstm import build_decoder, decoder_step_model, fit_standardisation
from say_what_you_see.models.keras_step import KerasStepModel
from say_what_you_see.models.numpy_decoder import NumpyDecoder
from say_what_you_see.models.numpy_transformer import NumpyTransformer
from say_what_you_see.models.saved_decoder import read_saved_decoder
from say_what_you_see.models.show_and_tell import build_show_and_tell, show_and_tell_step_model
from say_what_you_see.models.step import StepModel
from say_what_you_see.models.transformer import build_transformer

SAMPLERS = [Greedy(), BeamSearch(3), BeamSearch(4, 0.7), BeamSearch(3, -0.5), Sampling(1.5, top_k=5, top_p=0.8)]


def assert_same(found: GeneratedCaptions, expected: GeneratedCaptions) -> None:
    np.testing.assert_array_equal(found.indices, expected.indices)
    np.testing.assert_allclose(found.log_probabilities, expected.log_probabilities, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(found.finished, expected.finished)


@pytest.fixture(scope="module")
def decoder() -> KerasStepModel:
    trained = opinionated_decoder(seed=3)
    fit_standardisation(trained, np.random.default_rng(1).normal(2, 3, size=(50, FEATURES)).astype("float32"))
    return decoder_step_model(trained)


@pytest.fixture(scope="module")
def transformer() -> keras.Model:
    """Large weights, so that captions are sure; gamma, beta and biases differ from 1 and 0."""
    model, rng = build_transformer(len(VOCAB), REGIONS, FEATURES, 16, blocks=3, heads=4), np.random.default_rng(2)
    model.set_weights([w + rng.normal(0, 0.7, w.shape).astype("f") for w in model.get_weights()])
    return model


@pytest.fixture(scope="module")
def saved_transformer(transformer, tmp_path_factory) -> StepModel:
    path = tmp_path_factory.mktemp("transformer") / "decoder.keras"
    transformer.save(path)
    return read_saved_decoder(path)


def in_keras(model: KerasStepModel) -> KerasStepModel:
    """The same model, whose steps are never taken in NumPy."""
    slow = KerasStepModel(model.start_model, model.step_model)
    slow.fastest = lambda: slow
    return slow


@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
@pytest.mark.parametrize("name", ["decoder", "show and tell", "transformer"])
def test_captions_are_those_of_keras(name, sampler, decoder, transformer, saved_transformer):
    made, rng = {"decoder": decoder, "transformer": step_model_of(transformer)}, np.random.default_rng(0)
    model = made.get(name) or show_and_tell_step_model(opinionated(build_show_and_tell(len(VOCAB), FEATURES, 12, 16)))
    features = rng.normal(size=(33, *model.start_model.inputs[0].shape[1:])).astype(np.float32)
    expected = generate(in_keras(model), features, VOCAB, sampler, np.random.default_rng(5))
    for each in (model, saved_transformer) if name == "transformer" else (model,):
        assert isinstance(each.fastest(), NumpyTransformer if name == "transformer" else NumpyDecoder)
        assert_same(generate(each, features, VOCAB, sampler, np.random.default_rng(5)), expected)


def test_a_transformer_looks_where_keras_looks(transformer, saved_transformer):
    rng = np.random.default_rng(0)
    features = rng.normal(size=(2, REGIONS, FEATURES)).astype(np.float32)
    arguments = features, rng.integers(len(VOCAB), size=(2, 5)), VOCAB[START]
    expected = attention_grids(attention_model(transformer), *arguments)
    np.testing.assert_allclose(saved_transformer.attention_grids(*arguments), expected, atol=1e-5)


def test_new_weights_count_at_once():
    trained, features = opinionated_decoder(seed=3), np.random.default_rng(0).normal(size=(11, FEATURES))
    model = decoder_step_model(trained)
    before = generate(model, features, VOCAB)
    kernel = trained.get_layer("logits").kernel
    kernel.assign(-keras.ops.convert_to_numpy(kernel))
    after = generate(model, features, VOCAB)
    assert not np.array_equal(after.indices, before.indices)
    assert_same(after, generate(in_keras(model), features, VOCAB))


def relu_decoder() -> KerasStepModel:
    trained = build_decoder(len(VOCAB), FEATURES, 12, 8, 16, 12)
    trained.get_layer("logit_bottleneck").activation = keras.activations.relu
    return decoder_step_model(trained)


@pytest.mark.parametrize("make", [relu_decoder, lambda: step_model_of(opinionated_attention(seed=3))])
def test_models_that_numpy_does_not_know_are_left_to_keras(make):
    model = make()
    assert model.fastest() is model
    features = np.random.default_rng(5).normal(size=(2, *model.start_model.inputs[0].shape[1:]))
    assert generate(model, features, VOCAB, Greedy(3)).indices.shape == (2, 1, 3)

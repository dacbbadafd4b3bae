"""The decoder in NumPy: the captions of the compiled search, by the weights of now; and who has to do without it."""

from __future__ import annotations

import numpy as np
import pytest
from attention_samples import REGIONS, opinionated_attention
from caption_samples import FEATURES, VOCAB, opinionated_decoder

from say_what_you_see.core.backend import keras
from say_what_you_see.decoding.decoding import BeamSearch, Greedy, Sampling
from say_what_you_see.decoding.generation import GeneratedCaptions, NextWordModel, generate
from say_what_you_see.decoding.search import ROWS_AT_ONCE, generate_at_once, log_sum_exp
from say_what_you_see.language.captions import END
from say_what_you_see.models.architectures import next_word_model
from say_what_you_see.models.bottleneck_lstm import build_decoder, decoder_step_model, fit_standardisation
from say_what_you_see.models.numpy_decoder import NumpyDecoder, elu
from say_what_you_see.models.read_weights import numpy_decoder
from say_what_you_see.models.show_and_tell import build_show_and_tell, show_and_tell_step_model

WAYS = [Greedy(), BeamSearch(3), BeamSearch(4, 0.7), BeamSearch(3, -0.5), Sampling(1.5, top_k=5, top_p=0.8)]


def compiled(model: NextWordModel) -> NextWordModel:
    """The same layers, for the compiled search."""
    plain = NextWordModel(model.start_model, model.step_model)
    plain.known_layers = ()
    return plain


def the_same(found: GeneratedCaptions, expected: GeneratedCaptions) -> None:
    np.testing.assert_array_equal(found.indices, expected.indices)
    np.testing.assert_allclose(found.log_probabilities, expected.log_probabilities, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(found.finished, expected.finished)


@pytest.fixture(scope="module")
def features() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(11, FEATURES)).astype(np.float32)


@pytest.fixture(scope="module")
def decoder() -> NextWordModel:
    trained = opinionated_decoder(seed=3)
    fit_standardisation(trained, np.random.default_rng(1).normal(2, 3, size=(50, FEATURES)).astype("float32"))
    return decoder_step_model(trained)


@pytest.fixture(scope="module")
def show_and_tell() -> NextWordModel:
    keras.utils.set_random_seed(0)
    model = build_show_and_tell(len(VOCAB), FEATURES, 12, 16)
    rng = np.random.default_rng(1)
    model.set_weights([w if w.ndim < 2 else rng.normal(0, 1.2, w.shape).astype("f") for w in model.get_weights()])
    return show_and_tell_step_model(model)


@pytest.mark.parametrize(
    ("name", "how"),
    [*(("decoder", sampler) for sampler in WAYS), *(("show_and_tell", sampler) for sampler in WAYS[:2])],
    ids=str,
)
def test_the_captions_are_those_of_the_compiled_search(name, sampler, features, request):
    model = request.getfixturevalue(name)
    assert numpy_decoder(model) is not None
    found, expected = (
        generate(m, features, VOCAB, sampler, np.random.default_rng(5)) for m in (model, compiled(model))
    )
    the_same(found, expected)
    assert len(model.searches) == 0, "nothing was compiled"


@pytest.mark.parametrize("how", [Greedy(), Sampling(), BeamSearch(3)], ids=str)
def test_many_pictures_are_captioned_as_few_are(decoder, sampler):
    many = np.random.default_rng(2).normal(size=(ROWS_AT_ONCE + 9, FEATURES)).astype("float32")
    uniform = np.random.default_rng(7)
    found = generate(decoder, many, VOCAB, sampler, uniform)
    uniform = np.random.default_rng(7)
    one_by_one = [generate(decoder, row[None], VOCAB, sampler, uniform) for row in many]
    np.testing.assert_array_equal(found.indices, np.concatenate([one.indices for one in one_by_one]))


def test_new_weights_count_at_once(features):
    trained = opinionated_decoder(seed=3)
    model = decoder_step_model(trained)
    before = generate(model, features, VOCAB)
    kernel = trained.get_layer("logits").kernel
    kernel.assign(-keras.ops.convert_to_numpy(kernel))
    after = generate(model, features, VOCAB)
    assert not np.array_equal(after.indices, before.indices)
    the_same(after, generate(compiled(model), features, VOCAB))


def test_what_is_looked_at_does_not_change_while_it_is_looked_at(features):
    trained = opinionated_decoder(seed=3)
    if keras.backend.backend() == "torch":
        pytest.skip("PyTorch changes its parameters in place")
    weights = numpy_decoder(decoder_step_model(trained))
    before = weights.start(features)[0]
    layer = trained.get_layer("initial_state").bias
    layer.assign_add(np.ones(layer.shape, "float32"))
    np.testing.assert_array_equal(weights.start(features)[0], before)


def test_other_models_have_none():
    assert numpy_decoder(next_word_model(opinionated_attention(seed=3))) is None
    relu = build_decoder(len(VOCAB), FEATURES, 12, 8, 16, 12)
    relu.get_layer("logit_bottleneck").activation = keras.activations.relu
    assert numpy_decoder(decoder_step_model(relu)) is None


def test_a_model_that_only_looks_the_same_has_none(features):
    word, h, c = keras.Input((), dtype="int32"), keras.Input((16,)), keras.Input((16,))
    hidden, (new_h, new_c) = keras.layers.LSTMCell(16)(keras.layers.Embedding(len(VOCAB), 8)(word), [h, c])
    logits = keras.layers.Dense(len(VOCAB))(hidden) * 2
    picture = keras.Input((FEATURES,))
    state = keras.layers.Dense(16)(picture)
    model = NextWordModel(keras.Model(picture, [state, state]), keras.Model([word, h, c], [logits, new_h, new_c]))
    assert numpy_decoder(model) is None
    assert generate(model, features, VOCAB).indices.shape == (11, 1, 20)


def test_attention_goes_on_as_before():
    model = next_word_model(opinionated_attention(seed=3))
    rows = np.random.default_rng(5).normal(size=(2, REGIONS, FEATURES)).astype("float32")
    assert generate(model, rows, VOCAB, Greedy(3)).indices.shape == (2, 1, 3) and len(model.searches) == 1


def test_a_saved_decoder_says_the_same(decoder, features, tmp_path):
    numpy_decoder(decoder).save(tmp_path / "decoder.npz")
    loaded = NumpyDecoder.load(tmp_path / "decoder.npz")
    the_same(
        generate_at_once(loaded, features, VOCAB, BeamSearch(3)), generate(decoder, features, VOCAB, BeamSearch(3))
    )


@pytest.mark.parametrize("content", [b"", b"PK\3\4 and no more", "half"])
def test_a_damaged_file_is_no_decoder(decoder, tmp_path, content):
    path = tmp_path / "decoder.npz"
    numpy_decoder(decoder).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2] if content == "half" else content)
    with pytest.raises((ValueError, OSError)):
        NumpyDecoder.load(path)


def test_another_archive_is_no_decoder(tmp_path):
    np.savez(tmp_path / "other.npz", something=np.zeros(3))
    with pytest.raises(ValueError, match=r"other\.npz is no decoder"):
        NumpyDecoder.load(tmp_path / "other.npz")


def test_a_decoder_with_a_start_of_keras_cannot_be_saved(show_and_tell):
    assert not numpy_decoder(show_and_tell).can_be_saved


def test_no_pictures_have_no_captions(decoder):
    none = generate_at_once(numpy_decoder(decoder), np.zeros((0, FEATURES), "float32"), VOCAB, BeamSearch(2))
    assert none.indices.shape == (0, 2, 20) and none.log_probabilities.shape == (0, 2)
    assert generate(decoder, np.zeros((0, FEATURES)), VOCAB).sentences(VOCAB) == []


@pytest.mark.parametrize("shift", [0, 100, -100, 3e4])
def test_sums_of_exponentials_do_not_overflow(shift):
    logits = np.random.default_rng(0).normal(size=(40, 50)) * 3
    expected = np.log(np.exp(logits).sum(axis=1)) + shift
    np.testing.assert_allclose(log_sum_exp((logits + shift).astype("float32")), expected, rtol=1e-6, atol=1e-5)


def test_elu_is_that_of_keras():
    values = np.linspace(-50, 50, 201, dtype="float32")
    np.testing.assert_allclose(elu(values), keras.ops.convert_to_numpy(keras.ops.elu(values)), rtol=1e-6, atol=1e-7)


def test_what_has_ended_leaves_the_batch(decoder, features):
    """A picture whose caption has ended is not asked about again."""

    class Counting:
        n_states, asked = 2, []

        def __init__(self) -> None:
            self.start = numpy_decoder(decoder).start

        def step(self, words, state):
            self.asked.append(len(words))
            return numpy_decoder(decoder).step(words, state)

    found = generate_at_once(Counting(), features, VOCAB, Greedy())
    words = np.minimum((found.indices[:, 0] != VOCAB[END]).sum(axis=1) + 1, 20)
    assert sum(Counting.asked) == words.sum()

"""Quick training, and the step of the lesson: the losses and weights of the plain training."""

from dataclasses import replace

import numpy as np
import pytest
from attention_samples import REGIONS, grid_examples, tiny_attention
from caption_samples import FEATURES, VOCAB, tiny_decoder, toy_examples

from say_what_you_see.core.backend import keras
from say_what_you_see.decoding.generate import generate_sentences
from say_what_you_see.language.captions import PAD
from say_what_you_see.models.architectures import step_model_of
from say_what_you_see.models.bottleneck_lstm import fit_standardisation
from say_what_you_see.models.show_and_tell import build_show_and_tell
from say_what_you_see.models.transformer import build_transformer
from say_what_you_see.training.config import TrainingConfig
from say_what_you_see.training.examples import RandomBatches
from say_what_you_see.training.loop import compile_decoder, pack_training, train_decoder
from say_what_you_see.training.losses import masked_crossentropy
from say_what_you_see.training.packed.choice import choose_packed_decoder
from say_what_you_see.training.packed.decoder import PackedBatches, pack_batch
from say_what_you_see.training.packed.transformer import PackedTransformer

PAD_IDX = VOCAB[PAD]
CONFIG = TrainingConfig(2, batch_size=16, learning_rate=1e-2, weight_decay=0.1)
on_tensorflow = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="for Keras on TensorFlow")


def tiny_show_and_tell() -> keras.Model:
    keras.utils.set_random_seed(0)
    return build_show_and_tell(len(VOCAB), FEATURES, 12, 16)


def packed(examples):
    return pack_batch(RandomBatches(examples, CONFIG)[0], PAD_IDX)


def tiny_transformer() -> keras.Model:
    keras.utils.set_random_seed(0)
    return build_transformer(len(VOCAB), REGIONS, FEATURES, 16, blocks=1, heads=2)


def assert_same_training(build, examples, config: TrainingConfig) -> None:
    plain, quick = build(), build()
    expected = train_decoder(plain, examples, examples, config, PAD_IDX, quick=False)
    history = train_decoder(quick, examples, examples, config, PAD_IDX)
    for record, right in zip(history, expected, strict=True):
        assert record | {"seconds": 0} == pytest.approx(right | {"seconds": 0}, rel=1e-4)
    for weight, right in zip(quick.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(weight, right, rtol=1e-3, atol=1e-4)


@pytest.mark.backends
@pytest.mark.parametrize(("build", "similar_lengths", "label_smoothing"), [
    (tiny_decoder, False, 0.0), (tiny_decoder, False, 0.1), (tiny_show_and_tell, False, 0.0),
    (tiny_show_and_tell, True, 0.0), (tiny_attention, False, 0.0), (tiny_attention, True, 0.0),
])  # fmt: skip
def test_quick_training_ends_where_the_plain_one_ends(build, similar_lengths, label_smoothing):
    examples = grid_examples(40) if build is tiny_attention else toy_examples(40)
    assert choose_packed_decoder(build(), PAD_IDX, packed(examples)) is not None
    config = replace(CONFIG, similar_lengths=similar_lengths, label_smoothing=label_smoothing)
    assert_same_training(build, examples, config)


@pytest.mark.backends
@pytest.mark.skipif(keras.backend.backend() == "jax", reason="JAX would compile every length")
def test_so_does_that_of_the_transformer_with_several_captions_of_each_image():
    config = replace(CONFIG, learning_rate=1e-3, label_smoothing=0.1, captions_per_image=3, similar_lengths=True)
    examples = grid_examples(40)
    compile_decoder(quick := tiny_transformer(), config, PAD_IDX, 2)
    model, _ = pack_training(quick, RandomBatches(examples, config, pad_idx=PAD_IDX), PAD_IDX, config.label_smoothing)
    assert isinstance(model, PackedTransformer)
    batches = PackedBatches(RandomBatches(examples, replace(config, similar_lengths=False)), model)
    shapes = {tuple(part.shape[1:] for part in batches[step][0]) for step in range(len(batches))}
    assert len(shapes) == 1, "Keras lets only the first axis vary"
    assert_same_training(tiny_transformer, examples, config)


def test_it_learns_what_pictures_show():
    train, val = toy_examples(120, seed=1), toy_examples(20, seed=2)
    model = build_show_and_tell(len(VOCAB), FEATURES, 24, 24)
    config = TrainingConfig(8, 16, 2e-2, schedule="exponential")
    history = train_decoder(model, train, val, config, PAD_IDX)
    assert history[-1]["val_loss"] < 0.35 < history[0]["val_loss"]
    sentences = generate_sentences(step_model_of(model), val.image_embeds, VOCAB)
    truths = val.captions.matrix[val.captions.first[:-1]]
    words = [{word for word, index in VOCAB.items() if index in truth} for truth in truths.tolist()]
    right = [set(said.split()[-2:]) <= known for said, known in zip(sentences, words, strict=True)]
    assert np.mean(right) > 0.9


def rebuilt(**changes) -> keras.Model:
    """A learner's decoder with the names of `build_decoder` and something of its own."""
    layers = keras.layers
    embeds, words = layers.Input((FEATURES,), name="image_embeds"), layers.Input((None,), dtype="int32", name="words")
    x = layers.Dense(12, name="image_bottleneck")(layers.Normalization(name="standardise")(embeds))
    state = layers.Dense(16, name="initial_state")(layers.Dropout(0.0, name="image_dropout")(x))
    read = layers.Embedding(len(VOCAB), 8, name="word_embedding")(words)
    states = [state, keras.ops.zeros_like(state)] if changes.get("no_cell") else [state, state]
    lstm = layers.LSTM(16, return_sequences=True, name="lstm", **changes.get("lstm", {}))
    hidden = layers.Dropout(0.0, name="hidden_dropout")(lstm(read, initial_state=states))
    squeezed = layers.Dense(12, name="logit_bottleneck", **changes.get("bottleneck", {}))(hidden)
    if changes.get("shifted"):
        squeezed = keras.ops.roll(squeezed, 1, axis=1)
    logits = layers.Dense(len(VOCAB), **{"name": "logits"} | changes.get("logits", {}))(squeezed)
    return keras.Model([embeds, words], logits)


@on_tensorflow
@pytest.mark.parametrize(("changes", "way"), [
    ({}, "TensorFlowPackedDecoder"),
    ({"no_cell": True}, "PackedDecoder"),
    ({"shifted": True}, "PackedDecoder"),
    ({"lstm": {"recurrent_activation": "hard_sigmoid"}}, "PackedDecoder"),
    ({"lstm": {"recurrent_dropout": 0.2}}, "PackedDecoder"),
    ({"bottleneck": {"kernel_regularizer": "l2"}}, "NoneType"),
    ({"logits": {"name": "words_to_come"}}, "NoneType"),
    ({"logits": {"use_bias": False}}, "NoneType"),
    ({"logits": {"activation": "tanh"}}, "NoneType"),
])  # fmt: skip
def test_other_decoders_are_trained_as_they_are(changes, way):
    decoder = rebuilt(**changes)
    decoder.set_weights([weight + 0.3 for weight in decoder.get_weights()])
    assert type(choose_packed_decoder(decoder, PAD_IDX, packed(toy_examples(30)))).__name__ == way


@on_tensorflow
@pytest.mark.parametrize(("clip", "dtype"), [(5.0, "float32"), (0.01, "float32"), (0.01, "float64")])
def test_the_quick_optimizer_takes_the_steps_of_keras(clip, dtype):
    import tensorflow as tf

    from say_what_you_see.training.packed.tensorflow import FusedAdamW

    rng = np.random.default_rng(0)
    rows = tf.IndexedSlices(rng.normal(size=(6, 4)).astype(dtype), tf.constant([3, 0, 3, 1, 0, 0]), (5, 4))
    gradients = [tf.constant(rng.normal(size=(7, 3)).astype(dtype)), rows, tf.ones(3, dtype)]
    shapes, ends = [(7, 3), (5, 4), (3,)], []
    keras_own = keras.optimizers.AdamW(1e-2, weight_decay=0.5, clipnorm=clip)
    for optimizer in (keras_own, FusedAdamW(1e-2, weight_decay=0.5, clip=clip)):
        variables = [
            keras.Variable(np.ones(shape), dtype=dtype, name=name) for shape, name in zip(shapes, "wvb", strict=True)
        ]
        optimizer.exclude_from_weight_decay(var_names=["b"])
        optimizer.build(variables)
        for _ in range(4):
            optimizer.apply(gradients, variables)
        ends.append([value.numpy() for value in [*variables, *optimizer.variables]])
    for found, right in zip(*reversed(ends), strict=True):
        np.testing.assert_allclose(found, right, rtol=1e-5, atol=1e-7)


@on_tensorflow
def test_a_checkpoint_of_the_quick_optimizer_fits_that_of_keras(tmp_path):
    """As when training goes on beside a GPU."""
    examples, path = toy_examples(30), tmp_path / "checkpoint.weights.h5"
    trained, other = tiny_decoder(), tiny_decoder(seed=1)
    compile_decoder(trained, CONFIG, PAD_IDX, 3, quick=True)
    fit_standardisation(trained, examples.image_embeds)
    trained.fit(RandomBatches(examples, CONFIG), verbose=0)
    trained.save_weights(path)
    compile_decoder(other, CONFIG, PAD_IDX, 3, quick=False)
    other.load_weights(path)
    kept, loaded = ([np.array(v) for v in (*one.weights, *one.optimizer.variables)] for one in (trained, other))
    np.testing.assert_equal(loaded, kept)


@on_tensorflow
@pytest.mark.parametrize("quick", [False, True])
def test_the_step_of_the_lesson_trains_as_the_library_does(quick):
    from say_what_you_see.training.by_hand import training_step

    batches = RandomBatches(toy_examples(24), TrainingConfig(epochs=1, batch_size=6))
    by_hand, other = tiny_decoder(), tiny_decoder()
    loss, optimizer = masked_crossentropy(PAD_IDX), keras.optimizers.Adam(0.01)
    losses = [training_step(by_hand, batches[number], loss, optimizer) for number in range(8)]
    assert losses[-1] < losses[0] == pytest.approx(np.log(len(VOCAB)), rel=0.05)

    other.compile(keras.optimizers.Adam(0.01), loss)
    model, its_batches = pack_training(other, batches, PAD_IDX) if quick else (other, batches)
    assert losses == pytest.approx([model.train_on_batch(*its_batches[number]) for number in range(8)], rel=1e-4)
    for one, same in zip(by_hand.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(one, same, atol=1e-3)

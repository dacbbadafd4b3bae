"""Fair timing, and counted operations."""

from benchmarks import speed
from benchmarks.speed import count_bytes, count_operations, time_in_turns
from say_what_you_see.core.backend import keras

layers = keras.layers


def test_ways_take_turns_the_first_call_does_not_count_and_the_median_is_taken(monkeypatch):
    durations = {"first": iter([50.0, 2.0, 9.0, 2.5]), "second": iter([1.0, 1.0, 1.0, 1.0])}
    clock, calls = [0.0], []

    def way(name):
        calls.append(name)
        clock[0] += next(durations[name])

    monkeypatch.setattr(speed.time, "perf_counter", lambda: clock[0])
    found = time_in_turns({name: lambda name=name: way(name) for name in durations}, rounds=3)
    assert found == {"first": 2.5, "second": 1.0} and calls == ["first", "second"] * 4


def test_convolutions_count_each_kernel_number_at_each_position():
    inner = keras.Sequential([layers.Input((8, 8, 5)), layers.Conv2D(4, 3, strides=2, padding="same", name="strided")])
    model = keras.Sequential([
        layers.Input((8, 8, 3)),
        layers.Conv2D(5, 3, padding="same", name="plain"),
        inner,
        layers.DepthwiseConv2D(3, padding="same", name="depthwise"),
        layers.BatchNormalization(),
        layers.GlobalAveragePooling2D(),
        layers.Dense(7, name="dense"),
    ])  # fmt: skip
    assert count_operations(model) == {
        "plain": 2 * 3 * 3 * 3 * 5 * 64, f"{inner.name}/strided": 2 * 3 * 3 * 5 * 4 * 16,
        "depthwise": 2 * 3 * 3 * 4 * 16, "dense": 2 * 4 * 7,
    }  # fmt: skip


def test_bytes_are_those_of_weights_once_and_of_what_passes_through_for_each_example():
    model = keras.Sequential([layers.Input((6, 4)), layers.Dense(5, name="dense"), layers.Activation("relu")])
    weights, passed = 4 * 5 + 5, 6 * 4 + 6 * 5
    assert count_bytes(model) == 4 * (weights + passed) and count_bytes(model, examples=3) == 4 * (weights + 3 * passed)
    words = keras.Sequential([layers.Input((None,), dtype="int32"), layers.Embedding(1000, 8)])
    assert count_bytes(words, examples=2, steps=3) == 4 * 2 * (3 + 3 * 8), "only the rows of the words are read"

"""Where an encoder's regions lie is worked out from its layers; the network itself says whether that is right."""

import numpy as np
import pytest

from say_what_you_see.core.backend import keras
from say_what_you_see.vision.regions import region_centres

layers = keras.layers


def encoder(side: int, *stack: keras.layers.Layer) -> keras.Model:
    return keras.Sequential([layers.Input((side, side, 3)), *stack])


def evenly(size: int) -> keras.initializers.Initializer:
    """A kernel that takes the mean of its window, channel by channel."""
    return keras.initializers.Constant(np.eye(3) / size**2 * np.ones((size, size, 1, 1)))


def convolution(size: int, stride: int, padding: str, dilation: int = 1) -> keras.layers.Layer:
    options = {"padding": padding, "dilation_rate": dilation, "use_bias": False}
    return layers.Conv2D(3, size, stride, kernel_initializer=evenly(size), **options)


STACKS = {
    "nothing is padded": (31, [convolution(3, 2, "valid"), convolution(3, 1, "valid"), layers.AveragePooling2D(3, 2)]),
    "as in VGG": (32, [convolution(3, 1, "same"), layers.AveragePooling2D(2), layers.AveragePooling2D(2)]),
    "padded at one side": (32, [convolution(3, 2, "same"), convolution(5, 2, "same")]),
    "padded by a layer": (32, [layers.ZeroPadding2D(((0, 1), (2, 1))), convolution(3, 2, "valid")]),
    "dilated": (33, [convolution(3, 1, "valid", dilation=2), convolution(3, 2, "valid")]),
}


@pytest.mark.parametrize("name", STACKS)
def test_middles_are_where_the_network_looks(name):
    """Of a picture that shows its own coordinates, the mean over a window is the window's middle."""
    side, stack = STACKS[name]
    network = encoder(side, *stack)
    down, across = region_centres(network)
    places = (np.arange(side) + 0.5) / side
    picture = np.stack([*np.meshgrid(places, places, indexing="ij"), np.ones((side, side))], axis=-1)
    grid = np.asarray(keras.ops.convert_to_numpy(network(picture[None].astype("float32"))))[0]
    assert grid.shape[:2] == (len(down), len(across))
    inner = grid[..., 2] > 1 - 1e-4  # where no padding is in the window
    assert inner.any()
    expected = np.stack(np.meshgrid(down, across, indexing="ij"), axis=-1)
    np.testing.assert_allclose(grid[..., :2][inner], expected[inner], atol=1e-4)


def test_a_network_within_a_network():
    inner = encoder(32, convolution(3, 2, "valid"))
    assert np.array_equal(region_centres(encoder(32, inner, layers.GlobalAveragePooling2D())), region_centres(inner))


def test_regions_of_inception():
    network = keras.applications.InceptionV3(include_top=False, weights=None, input_shape=(299, 299, 3))
    for centres in region_centres(keras.Model(network.input, layers.Reshape((-1, 2048))(network.output))):
        np.testing.assert_allclose(centres, (37.5 + 32 * np.arange(8)) / 299)

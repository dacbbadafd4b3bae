"""EfficientNet-Lite as a Keras model and as an OpenVINO network, each built straight from the weights.

Neither needs the other: OpenVINO's is ready in a second, while TensorFlow alone takes several to start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from say_what_you_see.vision.efficientnet_lite import VARIANTS, Block, Convolution
from say_what_you_see.vision.openvino import import_openvino

if TYPE_CHECKING:
    import keras
    import openvino


def keras_encoder(name: str, blocks: list[Block]) -> keras.Model:
    """A network as a Keras model, from preprocessed images (n, side, side, 3) to the mean of the grid, (n, 1280)."""
    from say_what_you_see.core.backend import keras

    side = VARIANTS[name].input_size
    images = keras.Input((side, side, 3))
    grid = apply_blocks(images, blocks)
    return keras.Model(images, keras.layers.GlobalAveragePooling2D()(grid), name=f"{name}_encoder")


def apply_blocks(x: keras.KerasTensor, blocks: list[Block]) -> keras.KerasTensor:
    """Apply blocks to a feature map, (n, height, width, channels), with a Keras layer for each convolution."""
    from say_what_you_see.core.backend import keras

    for block in blocks:
        start = x
        for convolution in block.convolutions:
            layer = _keras_layer(convolution)
            x = layer(x)
            layer.set_weights([convolution.kernel, convolution.bias])
        x = keras.layers.Add()([start, x]) if block.is_residual else x
    return x


def openvino_encoder(name: str, blocks: list[Block], features: str = "mean") -> openvino.Model:
    """A network for OpenVINO; it gives what the Keras model gives, and needs neither Keras nor TensorFlow.

    Args:
        name: one of `VARIANTS`.
        blocks: from `read_blocks`.
        features: "mean", (n, 1280), or "grid", (n, regions, 1280).

    Returns:
        The network, from preprocessed images, float32 (n, side, side, 3), to their features.
    """
    openvino, side = import_openvino(), VARIANTS[name].input_size
    from openvino import opset13 as ops

    images = ops.parameter([-1, side, side, 3], np.float32, name="images")
    x = ops.transpose(images, [0, 3, 1, 2])  # OpenVINO has channels first
    for block in blocks:
        start = x
        for convolution in block.convolutions:
            x = _openvino_nodes(x, convolution)
        x = ops.add(start, x) if block.is_residual else x
    if features == "mean":
        x = ops.reduce_mean(x, [2, 3])
    else:
        x = ops.transpose(ops.reshape(x, [0, 0, -1], special_zero=True), [0, 2, 1])
    return openvino.Model([x], [images], f"{name}_encoder")


def _keras_layer(convolution: Convolution) -> keras.layers.Layer:
    from say_what_you_see.core.backend import keras

    name, kernel, bias, stride, relu6 = convolution
    options = {"strides": stride, "padding": "same", "activation": "relu6" if relu6 else None, "name": name}
    if convolution.depthwise:
        return keras.layers.DepthwiseConv2D(len(kernel), **options)
    return keras.layers.Conv2D(len(bias), len(kernel), **options)


def _openvino_nodes(x: openvino.Node, convolution: Convolution) -> openvino.Node:
    from openvino import opset13 as ops

    _, kernel, bias, stride, relu6 = convolution
    where = [[stride, stride], [0, 0], [0, 0], [1, 1], "same_upper"]  # strides, padding, dilations, TensorFlow's "same"
    if convolution.depthwise:
        x = ops.group_convolution(x, ops.constant(kernel.transpose(2, 3, 0, 1)[:, None]), *where)
    else:
        x = ops.convolution(x, ops.constant(kernel.transpose(3, 2, 0, 1)), *where)
    x = ops.add(x, ops.constant(bias.reshape(1, -1, 1, 1)))
    return ops.clamp(x, 0.0, 6.0) if relu6 else x

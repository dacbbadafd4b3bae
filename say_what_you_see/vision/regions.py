"""Where the regions of an encoder's grid lie in the picture, worked out from the layers of the network."""

import numpy as np

from say_what_you_see.core.backend import keras

Centres = tuple[np.ndarray, np.ndarray]
"""The centres of a grid's rows, (rows,), and of its columns, (columns,), as fractions of the picture's sides."""


def region_centres(encoder: keras.Model) -> Centres:
    """The centres of the areas from which the regions of an encoder's last feature map are computed.

    Layers without padding lose a margin of the picture, so InceptionV3's regions do not divide it evenly: their centres
    lie at pixels 37 + 32 i of 299.

    Args:
        encoder: takes pictures (n, height, width, 3) through convolutions and pooling; what comes after the last
            feature map (a mean, a reshaping) is ignored.
    """
    centres = []
    for axis in (0, 1):
        first, step, regions = _follow(encoder, axis, 0.5, 1.0)
        centres.append((first + step * np.arange(regions)) / encoder.inputs[0].shape[1 + axis])
    return centres[0], centres[1]


def _follow(model: keras.Model, axis: int, first: float, step: float) -> tuple[float, float, int]:
    """The first centre, the step to the next one, in pixels, and the number of centres, layer after layer."""
    regions = model.inputs[0].shape[1 + axis]
    places = {id(model.inputs[0]): (first, step)}
    for layer in model.layers:
        if isinstance(layer, keras.layers.InputLayer):
            continue
        if len(layer.output.shape) != 4:
            break
        before = layer.input[0] if isinstance(layer.input, list) else layer.input  # joined branches share centres
        first, step = places.get(id(before), (first, step))
        if isinstance(layer, keras.Model):
            first, step, _ = _follow(layer, axis, first, step)
        else:
            first, step = _through(layer, axis, before.shape[1 + axis], first, step)
        places[id(layer.output)] = first, step
        regions = layer.output.shape[1 + axis]
    return first, step, regions


def _through(layer: keras.Layer, axis: int, rows: int, first: float, step: float) -> tuple[float, float]:
    """What a layer that gets this many rows (or columns) makes of the first centre and the step."""
    if isinstance(layer, keras.layers.ZeroPadding2D):
        return first - step * layer.padding[axis][0], step
    window = getattr(layer, "kernel_size", None) or getattr(layer, "pool_size", None)
    if window is None:
        return first, step
    reach = (window[axis] - 1) * getattr(layer, "dilation_rate", (1, 1))[axis]
    stride, padded = layer.strides[axis], 0
    if layer.padding == "same":
        padded = max((-(-rows // stride) - 1) * stride + reach + 1 - rows, 0) // 2
    return first + step * (reach / 2 - padded), step * stride

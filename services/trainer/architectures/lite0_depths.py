"""Build EfficientNet-Lite0 with features of several depths: for products with tens to hundreds of images."""

from __future__ import annotations

from typing import Final

import keras
from keras import layers

from services.trainer.architectures.efficientnet_lite import DROPOUT, build_efficientnet_lite0
from shared.recipe import ImageSpec

DEPTHS: Final = ("block5_expanded", "block8_expanded", "block11_expanded", "block15_expanded", "features")
"""The layers whose features are pooled, at an eighth, a sixteenth and a thirty-second of the image's side.

All but the last are the first step of a block: six times as many features as between the blocks, and rectified, so that
each answers to one thing. What reaches a later layer passes through each of them.
"""
REFERENCE_DEPTHS: Final = ("block3_expanded", *DEPTHS)
"""With a reference image also at a quarter of the side, where a small difference is not yet averaged away."""
BESIDE: Final = "_beside"
"""Ending of the names of the layers with the features of an image and their differences from those of its reference."""
BESIDE_PARTS: Final = 3
"""Parts of these features: those of the image, what they exceed those of the reference by, and fall short by."""


def build_lite0_depths(image: ImageSpec, labels: int) -> keras.Model:
    """Return EfficientNet-Lite0 whose last layer sees the average and the maximum of features of several depths.

    The deepest features tell things from things; a scratch or a missing thread is told by earlier ones, and the maximum
    preserves what covers few pixels. With a reference image, the last layer also sees by how much the features of the
    image exceed those of the reference, and fall short of them.

    Args:
        image: the input, at least 32 x 32.
        labels: number of logits.
    """
    network = build_efficientnet_lite0(image.alone, labels)
    inputs, depths = network.input, [network.get_layer(name).output for name in DEPTHS]
    if image.reference:
        inputs, depths = _beside_reference(network, image)
    pooled = [pool()(each) for each in depths for pool in (layers.GlobalAveragePooling2D, layers.GlobalMaxPooling2D)]
    outputs = layers.Dropout(DROPOUT)(layers.Concatenate()(pooled))
    return keras.Model(inputs, layers.Dense(labels, name="logits")(outputs), name="lite0-depths")


def compares_with_reference(network: keras.Model) -> bool:
    """Return whether the features of a network are those of an image and their differences from its reference."""
    return any(layer.name.endswith(BESIDE) for layer in network.layers)


def _beside_reference(network: keras.Model, image: ImageSpec) -> tuple[keras.KerasTensor, list[keras.KerasTensor]]:
    """Return an input of image and reference, and at each depth what the network sees of them.

    What a depth sees of both passes through one layer, at which heatmaps can be made. Its channels are the features of
    the image, by how much they exceed those of the reference, and by how much they fall short of them.
    """
    inputs = layers.Input(image.shape)
    seen, golden = keras.ops.split(inputs, 2, axis=-1)
    before, depths = network.input, []
    for name in REFERENCE_DEPTHS:
        after = network.get_layer(name).output
        stage = keras.Model(before, after, name=f"up_to_{name}")
        seen, golden = stage(seen), stage(golden)
        more, less = keras.ops.maximum(seen - golden, 0.0), keras.ops.maximum(golden - seen, 0.0)
        depths.append(layers.Concatenate(name=f"{name}{BESIDE}")([seen, more, less]))
        seen, more, less = keras.ops.split(depths[-1], BESIDE_PARTS, axis=-1)
        golden = seen - more + less
        before = after
    return inputs, depths

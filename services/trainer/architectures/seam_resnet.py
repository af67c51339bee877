"""Build the network of the first seam inspection, layer by layer."""

from __future__ import annotations

from typing import Final

import keras
from keras import layers

from shared.recipe import ImageSpec

FILTERS: Final = 64
BLOCKS: Final = (2, 4, 2)
"""Blocks of each stage; from the second on, a stage doubles the filters and halves the image."""
POOL: Final = 4


def build_seam_resnet(image: ImageSpec, labels: int) -> keras.Model:
    """Return a residual network with batch normalisation on its input, and after each ReLU instead of before it.

    At 100x100x3 with four labels it has 3,409,552 parameters and takes 5.59 billion multiply-accumulates.

    Args:
        image: the input, at least 16 x 16.
        labels: number of logits.
    """
    inputs = layers.Input(image.shape)
    outputs = layers.BatchNormalization()(inputs)
    outputs = _relu_and_normalise(layers.Conv2D(FILTERS, 3, padding="same")(outputs))
    filters = FILTERS
    for stage, blocks in enumerate(BLOCKS):
        for block in range(blocks):
            outputs = residual_block(outputs, filters, halve=stage > 0 and block == 0)
        filters *= 2
    features = layers.Activation("linear", name="features")(outputs)
    flat = layers.Flatten()(layers.AveragePooling2D(POOL)(features))
    return keras.Model(inputs, layers.Dense(labels, name="logits")(flat), name="seam-resnet")


def residual_block(inputs: keras.KerasTensor, filters: int, *, halve: bool) -> keras.KerasTensor:
    stride = 2 if halve else 1
    outputs = _relu_and_normalise(layers.Conv2D(filters, 3, stride, padding="same")(inputs))
    outputs = layers.Conv2D(filters, 3, padding="same")(outputs)
    shortcut = layers.Conv2D(filters, 1, stride, padding="same")(inputs) if halve else inputs
    return _relu_and_normalise(layers.Add()([outputs, shortcut]))


def _relu_and_normalise(inputs: keras.KerasTensor) -> keras.KerasTensor:
    return layers.BatchNormalization()(layers.ReLU()(inputs))

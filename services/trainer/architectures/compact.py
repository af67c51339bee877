"""Build a small residual network, for thousands of images and machines without a GPU."""

from __future__ import annotations

from typing import Final

import keras
from keras import layers

from shared.recipe import ImageSpec

STEM: Final = 16
STAGES: Final = ((32, 2), (64, 2))
"""Filters and blocks of each stage. A stage halves the image, so the features have an eighth of its side: small defects
need resolution more than depth."""
DROPOUT: Final = 0.2
MOMENTUM: Final = 0.9
"""Momentum of the running statistics of batch normalisation; low, because an epoch may have few steps."""


def build_compact(image: ImageSpec, labels: int) -> keras.Model:
    """Return residual blocks (He et al. 2015, doi 10.1109/CVPR.2016.90) with average and maximum pooling on top.

    A defect of a few pixels would vanish in the average of a whole image; the maximum preserves it.

    Args:
        image: the input.
        labels: number of logits.
    """
    inputs = layers.Input(image.shape)
    outputs = layers.ReLU()(_convolution(inputs, STEM, stride=2))
    for filters, blocks in STAGES:
        for block in range(blocks):
            outputs = residual(outputs, filters, stride=2 if block == 0 else 1)
    features = layers.Activation("linear", name="features")(outputs)
    return keras.Model(inputs, layers.Dense(labels, name="logits")(pool_both(features)), name="compact")


def pool_both(features: keras.KerasTensor) -> keras.KerasTensor:
    """Return the average and the maximum of each filter: (images, 2 filters) of (images, height, width, filters)."""
    pooled = layers.Concatenate()([layers.GlobalAveragePooling2D()(features), layers.GlobalMaxPooling2D()(features)])
    return layers.Dropout(DROPOUT)(pooled)


def residual(inputs: keras.KerasTensor, filters: int, stride: int) -> keras.KerasTensor:
    """Add two convolutions of 3 x 3 with a shortcut."""
    outputs = layers.ReLU()(_convolution(inputs, filters, stride))
    outputs = _convolution(outputs, filters)
    shortcut = inputs if stride == 1 else _convolution(inputs, filters, stride, size=1)
    return layers.ReLU()(layers.Add()([outputs, shortcut]))


def _convolution(inputs: keras.KerasTensor, filters: int, stride: int = 1, size: int = 3) -> keras.KerasTensor:
    outputs = layers.Conv2D(filters, size, stride, padding="same", use_bias=False)(inputs)
    return layers.BatchNormalization(momentum=MOMENTUM)(outputs)

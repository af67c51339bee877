"""A small residual network, for images by the thousand and machines without a GPU."""

from __future__ import annotations

from typing import Final

import keras
from keras import layers

from shared.recipe import ImageSpec

STEM: Final = 16
STAGES: Final = ((32, 2), (64, 2))
"""Filters and blocks of each stage. A stage halves the image, so features end at an eighth of its side: small defects
need resolution more than depth."""
DROPOUT: Final = 0.2
MOMENTUM: Final = 0.9
"""Of the running statistics: with images by the hundred, an epoch has few steps for them to follow."""


def build_compact(image: ImageSpec, labels: int) -> keras.Model:
    """Residual blocks (He et al. 2015, doi 10.1109/CVPR.2016.90) under average and maximum pooling.

    The maximum keeps a defect of a few pixels from drowning in the average of a whole image.

    Args:
        image: what the network sees.
        labels: how many logits to give.
    """
    inputs = layers.Input(image.shape)
    outputs = layers.ReLU()(_convolution(inputs, STEM, stride=2))
    for filters, blocks in STAGES:
        for block in range(blocks):
            outputs = residual(outputs, filters, stride=2 if block == 0 else 1)
    features = layers.Activation("linear", name="features")(outputs)
    return keras.Model(inputs, layers.Dense(labels, name="logits")(pool_both(features)), name="compact")


def pool_both(features: keras.KerasTensor) -> keras.KerasTensor:
    """(frames, height, width, filters) as (frames, 2 filters): the average of each, and its maximum."""
    pooled = layers.Concatenate()([layers.GlobalAveragePooling2D()(features), layers.GlobalMaxPooling2D()(features)])
    return layers.Dropout(DROPOUT)(pooled)


def residual(inputs: keras.KerasTensor, filters: int, stride: int) -> keras.KerasTensor:
    """Two convolutions of 3 x 3 beside a shortcut."""
    outputs = layers.ReLU()(_convolution(inputs, filters, stride))
    outputs = _convolution(outputs, filters)
    shortcut = inputs if stride == 1 else _convolution(inputs, filters, stride, size=1)
    return layers.ReLU()(layers.Add()([outputs, shortcut]))


def _convolution(inputs: keras.KerasTensor, filters: int, stride: int = 1, size: int = 3) -> keras.KerasTensor:
    outputs = layers.Conv2D(filters, size, stride, padding="same", use_bias=False)(inputs)
    return layers.BatchNormalization(momentum=MOMENTUM)(outputs)

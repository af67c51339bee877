"""Build a network for exclusive classes on a clean background, such as fruit on a belt."""

from __future__ import annotations

from typing import Final

import keras
from keras import layers

from shared.recipe import ImageSpec

FILTERS: Final = (32, 64, 64, 128)
"""Filters of the four convolutions. Pooling that halves the image follows each of them except the last."""
UNITS: Final = 128
POOL: Final = 4
DROPOUT: Final = 0.3


def build_fruit_convnet(image: ImageSpec, labels: int) -> keras.Model:
    """Return four convolutions with batch normalisation, then two dense layers.

    Args:
        image: the input, at least 32 x 32.
        labels: number of logits.
    """
    inputs = outputs = layers.Input(image.shape)
    for number, filters in enumerate(FILTERS):
        if number:
            outputs = layers.MaxPooling2D(2)(outputs)
        outputs = layers.Conv2D(filters, 3, padding="same", use_bias=False)(outputs)
        outputs = layers.ReLU()(layers.BatchNormalization()(outputs))
    features = layers.Activation("linear", name="features")(outputs)
    flat = layers.Flatten()(layers.AveragePooling2D(POOL)(features))
    hidden = layers.Dropout(DROPOUT)(layers.Dense(UNITS, activation="relu")(flat))
    return keras.Model(inputs, layers.Dense(labels, name="logits")(hidden), name="fruit-convnet")

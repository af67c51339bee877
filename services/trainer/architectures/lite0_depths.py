"""Build EfficientNet-Lite0 with features of several depths: for products with tens to hundreds of images."""

from __future__ import annotations

from typing import Final

import keras
from keras import layers

from services.trainer.architectures.efficientnet_lite import DROPOUT, build_efficientnet_lite0
from shared.recipe import ImageSpec

DEPTHS: Final = ("block4_sum", "block7_sum", "block10_sum", "block15_project_normalisation", "features")
"""The layers whose features are pooled: at an eighth, a sixteenth and a thirty-second of the image's side."""


def build_lite0_depths(image: ImageSpec, labels: int) -> keras.Model:
    """Return EfficientNet-Lite0 whose last layer sees the average and the maximum of features of several depths.

    The deepest features tell things from things; a scratch or a missing thread is told by earlier ones, and the maximum
    preserves what covers few pixels.

    Args:
        image: the input, at least 32 x 32.
        labels: number of logits.
    """
    network = build_efficientnet_lite0(image, labels)
    pooled = []
    for name in DEPTHS:
        features = network.get_layer(name).output
        pooled += [layers.GlobalAveragePooling2D()(features), layers.GlobalMaxPooling2D()(features)]
    outputs = layers.Dropout(DROPOUT)(layers.Concatenate()(pooled))
    return keras.Model(network.input, layers.Dense(labels, name="logits")(outputs), name="lite0-depths")

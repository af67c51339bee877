"""The first layers of EfficientNet-Lite0, from ImageNet's weights, under a small residual network of our own."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import keras
from keras import layers

from services.trainer.architectures.compact import pool_both, residual
from services.trainer.architectures.efficientnet_lite import PIXELS, STAGES, early_stages, load_early_stages
from services.trainer.architectures.pretraining import Origin, rescale
from shared.recipe import ImageSpec

FIRST_STAGES: Final = STAGES[:3]
"""Up to an eighth of the image's side: yarn, thread and edges, and no whole things yet."""
FILTERS: Final = 64
BLOCKS: Final = 2


def build_lite0_texture(image: ImageSpec, labels: int) -> keras.Model:
    """EfficientNet-Lite0's first layers, and a residual network (He et al. 2015) that judges what they see.

    Args:
        image: what the network sees.
        labels: how many logits to give.
    """
    inputs = layers.Input(image.shape)
    outputs = early_stages(rescale(inputs, image, PIXELS), FIRST_STAGES)
    outputs = layers.Conv2D(FILTERS, 1, use_bias=False)(outputs)
    outputs = layers.ReLU()(layers.BatchNormalization()(outputs))
    for _ in range(BLOCKS):
        outputs = residual(outputs, FILTERS, stride=1)
    features = layers.Activation("linear", name="features")(outputs)
    return keras.Model(inputs, layers.Dense(labels, name="logits")(pool_both(features)), name="lite0-texture")


def load_lite0_texture(network: keras.Model, file: Path | None) -> Origin | None:
    """Put ImageNet's weights into the first layers; a training goes on from there, but for their statistics.

    Raises:
        WeightsError: the file is not what it should be.
    """
    return load_early_stages(network, FIRST_STAGES, file)

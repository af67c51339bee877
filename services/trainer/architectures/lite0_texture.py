"""Build a small residual network on the first layers of EfficientNet-Lite0, with ImageNet's weights."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import keras
from keras import layers

from services.trainer.architectures.compact import pool_both, residual
from services.trainer.architectures.efficientnet_lite import PIXELS, STAGES, load_early_stages, stem_and_stages
from services.trainer.architectures.pretraining import WeightsOrigin, rescale
from shared.recipe import ImageSpec

FIRST_STAGES: Final = STAGES[:3]
"""Up to an eighth of the image's side: they respond to yarn, thread and edges, not to whole objects."""
FILTERS: Final = 64
BLOCKS: Final = 2


def build_lite0_texture(image: ImageSpec, labels: int) -> keras.Model:
    """Return EfficientNet-Lite0's first layers with a residual network (He et al. 2015) on top.

    Args:
        image: the input.
        labels: number of logits.
    """
    inputs = layers.Input(image.shape)
    outputs = stem_and_stages(rescale(inputs, image, PIXELS), FIRST_STAGES)
    outputs = layers.Conv2D(FILTERS, 1, use_bias=False)(outputs)
    outputs = layers.ReLU()(layers.BatchNormalization()(outputs))
    for _ in range(BLOCKS):
        outputs = residual(outputs, FILTERS, stride=1)
    features = layers.Activation("linear", name="features")(outputs)
    return keras.Model(inputs, layers.Dense(labels, name="logits")(pool_both(features)), name="lite0-texture")


def load_lite0_texture(network: keras.Model, file: Path | None) -> WeightsOrigin | None:
    """Load ImageNet's weights into the first layers. A training changes all of them except their statistics.

    Raises:
        WeightsError: the file can't be read or does not fit, or the package's file is not the released one.
    """
    return load_early_stages(network, FIRST_STAGES, file)

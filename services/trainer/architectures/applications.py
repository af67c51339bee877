"""Backbones of ``keras.applications`` by name, with weights of a given file. Nothing is ever downloaded."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any, Final

import keras
import numpy as np
from keras import layers

from services.trainer.architectures.pretraining import Origin, PixelScale, WeightsError, rescale, sha256_of
from shared.imaging.preprocessing import IMAGENET_DEVIATION, IMAGENET_MEAN
from shared.recipe import ImageSpec

APPLICATIONS: Final = tuple(name for name in dir(keras.applications) if name[0].isupper())
"""``MobileNetV3Small``, ``ResNet50`` and the others."""
DROPOUT: Final = 0.2

BYTES: Final = PixelScale((0, 0, 0), (1, 1, 1))
SIGNED: Final = PixelScale((127.5, 127.5, 127.5), (127.5, 127.5, 127.5))
TORCH: Final = PixelScale(tuple(255 * IMAGENET_MEAN), tuple(255 * IMAGENET_DEVIATION))
CAFFE: Final = PixelScale((103.939, 116.779, 123.68), (1, 1, 1), "bgr")
TWICE: Final = PixelScale(
    tuple(255 * IMAGENET_MEAN * (1 - np.sqrt(IMAGENET_DEVIATION))), tuple(np.sqrt(IMAGENET_DEVIATION))
)
"""Keras divides a second time, by the square root of the deviation, where it loads EfficientNet's weights by itself."""

FAMILIES: Final = (
    ("ConvNeXt", BYTES, 32),
    ("DenseNet", TORCH, 32),
    ("EfficientNetV2", BYTES, 32),
    ("EfficientNet", TWICE, 32),
    ("Inception", SIGNED, 75),
    ("MobileNetV3", BYTES, 32),
    ("MobileNet", SIGNED, 32),
    ("NASNet", SIGNED, 32),
    ("ResNet", CAFFE, 32),
    ("VGG", CAFFE, 32),
    ("Xception", SIGNED, 71),
)
"""How names begin, what the weights were trained on, and the least height and width. The first that fits holds."""


def build_application(name: str, image: ImageSpec, labels: int) -> keras.Model:
    """A network of ``keras.applications`` without its last layers, under average pooling.

    Args:
        name: one of `APPLICATIONS`.
        image: what the network sees; at least of `smallest_of` in height and width.
        labels: how many logits to give.
    """
    inputs = layers.Input(image.shape)
    backbone = _backbone(name, input_tensor=rescale(inputs, image, scale_of(name)))
    features = layers.Activation("linear", name="features")(backbone.output)
    pooled = layers.Dropout(DROPOUT)(layers.GlobalAveragePooling2D()(features))
    return keras.Model(inputs, layers.Dense(labels, name="logits")(pooled), name=name)


def load_application(name: str, network: keras.Model, file: Path | None) -> Origin | None:
    """Put weights into all layers but the last.

    Args:
        name: as it was given to `build_application`.
        network: as `build_application` made it.
        file: weights as Keras keeps them, of the network without its top.

    Returns:
        Where the weights come from; None when no file is given.

    Raises:
        WeightsError: the file is not what it should be.
    """
    if file is None:
        return None
    origin = Origin(file.name, sha256_of(file))
    published = _backbone(name, input_shape=(*network.input_shape[1:3], 3))
    try:
        published.load_weights(file)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        reason = str(error).strip().splitlines()[0]
        raise WeightsError(f"{file}: {reason}: give weights of {name} without its top, as Keras keeps them") from error
    backbone = keras.Model(network.inputs, network.get_layer("features").output)
    backbone.set_weights(published.get_weights())
    for layer in backbone.layers:
        if isinstance(layer, layers.Normalization):
            layer.finalize_state()  # it would go on with the mean and variance that it had
    return origin


def smallest_of(name: str) -> int:
    """The least height and width of images, in pixels."""
    return next(smallest for family, _, smallest in FAMILIES if name.startswith(family))


def scale_of(name: str) -> PixelScale:
    """What its published weights were trained on."""
    if name.startswith("ResNet") and name.endswith("V2"):
        return SIGNED
    return next(scale for family, scale, _ in FAMILIES if name.startswith(family))


def _backbone(name: str, **inputs: Any) -> keras.Model:
    return getattr(keras.applications, name)(include_top=False, weights=None, **inputs)

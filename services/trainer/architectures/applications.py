"""Build the backbones of ``keras.applications``, with the weights of a given file. Nothing is downloaded."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any, Final

import keras
import numpy as np
from keras import layers

from services.trainer.architectures.pretraining import PixelScale, WeightsError, WeightsOrigin, rescale, sha256_of
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
"""ImageNet's normalisation, then a second division by the square root of the deviation: EfficientNet's weights."""

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
"""Prefix of the name, pixel scale of the weights, smallest height and width. The first prefix that fits is used."""


def build_application(name: str, image: ImageSpec, labels: int) -> keras.Model:
    """Return a network of ``keras.applications`` without its last layers, with average pooling on top.

    Args:
        name: one of `APPLICATIONS`.
        image: the input, at least `smallest_of` pixels high and wide.
        labels: number of logits.
    """
    inputs = layers.Input(image.shape)
    backbone = _backbone(name, input_tensor=rescale(inputs, image, scale_of(name)))
    features = layers.Activation("linear", name="features")(backbone.output)
    pooled = layers.Dropout(DROPOUT)(layers.GlobalAveragePooling2D()(features))
    return keras.Model(inputs, layers.Dense(labels, name="logits")(pooled), name=name)


def load_application(name: str, network: keras.Model, file: Path | None) -> WeightsOrigin | None:
    """Load weights into all layers but the last.

    Args:
        name: the one that was given to `build_application`.
        network: made by `build_application`.
        file: weights in Keras's format, of the network without its top.

    Returns:
        Where the weights come from; None if no file is given.

    Raises:
        WeightsError: the file can't be read or does not fit.
    """
    if file is None:
        return None
    origin = WeightsOrigin(file.name, sha256_of(file))
    published = _backbone(name, input_shape=(*network.input_shape[1:3], 3))
    try:
        published.load_weights(file)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        reason = str(error).strip().splitlines()[0]
        raise WeightsError(f"{file}: {reason}: give weights of {name} without its top, in Keras's format") from error
    backbone = keras.Model(network.inputs, network.get_layer("features").output)
    backbone.set_weights(published.get_weights())
    for layer in backbone.layers:
        if isinstance(layer, layers.Normalization):
            layer.finalize_state()  # `set_weights` leaves what it derived from its old statistics
    return origin


def smallest_of(name: str) -> int:
    """Return the smallest height and width of images, in pixels."""
    return next(smallest for family, _, smallest in FAMILIES if name.startswith(family))


def scale_of(name: str) -> PixelScale:
    """Return the pixel scale of the published weights."""
    if name.startswith("ResNet") and name.endswith("V2"):
        return SIGNED
    return next(scale for family, scale, _ in FAMILIES if name.startswith(family))


def _backbone(name: str, **inputs: Any) -> keras.Model:
    return getattr(keras.applications, name)(include_top=False, weights=None, **inputs)

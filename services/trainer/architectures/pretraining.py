"""Start from pretrained weights: their origin, and the pixel scale that they expect."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import keras
from keras import layers

from services.trainer.errors import TrainerError
from shared.imaging.preprocessing import imagenet_statistics
from shared.recipe import ImageSpec


class WeightsError(TrainerError):
    """Pretrained weights can't be used; the message says why and what to do."""


@dataclass(frozen=True)
class WeightsOrigin:
    """Where a network's pretrained weights come from."""

    source: str
    """A package with its version, or the name of a file."""
    sha256: str


@dataclass(frozen=True)
class PixelScale:
    """The scale of the pixels on which weights were trained: (byte - mean) / deviation for each channel.

    A byte is 0 to 255; `mean` and `deviation` are in the same unit.
    """

    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    order: Literal["rgb", "bgr"] = "rgb"
    """The order of the image's channels, and of `mean` and `deviation`."""


def rescale(images: keras.KerasTensor, spec: ImageSpec, scale: PixelScale) -> keras.KerasTensor:
    """Convert images from the recipe's scale to that of the weights, with layers of the network.

    With the normalisation ``image``, each image has its own mean and deviation; those of ImageNet are assumed for all
    images. A grey image gets three equal channels.

    Args:
        images: (images, height, width, channels), from `shared.imaging.preprocessing.normalise`.
        spec: the recipe's image.
        scale: the pixel scale that the weights expect.

    Returns:
        (images, height, width, 3).
    """
    if spec.channels == 1:
        images = layers.Concatenate()([images] * 3)
    elif scale.order == "bgr":
        images = keras.ops.flip(images, axis=-1)
    mean, deviation = [0.0] * 3, [1.0] * 3
    if spec.normalisation != "unit":
        mean, deviation = (values.tolist() * (3 // spec.channels) for values in imagenet_statistics(spec))
    if scale.order == "bgr":
        mean, deviation = mean[::-1], deviation[::-1]
    # byte = 255 * (value * deviation + mean), and the weights expect (byte - scale.mean) / scale.deviation
    factors = [255 * before / after for before, after in zip(deviation, scale.deviation, strict=True)]
    offsets = [
        (255 * before - after) / divisor
        for before, after, divisor in zip(mean, scale.mean, scale.deviation, strict=True)
    ]
    return layers.Rescaling(factors, offsets, name="pixels")(images)


def sha256_of(file: Path) -> str:
    """Return the digest of a file of weights, in hexadecimal.

    Raises:
        WeightsError: the file can't be read.
    """
    try:
        with file.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(f"{file}: can't be read ({error.strerror}): give the path of a file of weights") from error


def weights_in(folder: Path | None, architecture: str) -> Path | None:
    """Return the file of weights for an architecture in a folder.

    Returns:
        The file whose name begins with the architecture and a dot, such as ``MobileNetV3Small.weights.h5``; None if
        there is no such file, or ``folder`` is None.

    Raises:
        WeightsError: there are several such files, or the folder can't be read.
    """
    if folder is None:
        return None
    try:
        found = sorted(file for file in folder.iterdir() if file.is_file() and file.name.startswith(f"{architecture}."))
    except OSError as error:
        raise WeightsError(
            f"{folder}: can't be read ({error.strerror}): set TRAINER_WEIGHTS_FOLDER to another folder"
        ) from error
    if len(found) > 1:
        names = ", ".join(file.name for file in found)
        raise WeightsError(f"{folder} has {names} for {architecture}: leave only one of them there")
    return found[0] if found else None


def freeze_statistics(network: keras.Model) -> None:
    """Freeze batch normalisation: its statistics, and its scale and offset.

    Statistics of the millions of images of the pretraining are better than those of some hundreds of images.
    """
    for layer in leaves(network):
        if isinstance(layer, layers.BatchNormalization):
            layer.trainable = False


def leaves(network: keras.Model) -> Iterator[keras.Layer]:
    """Yield the layers of a network; a nested network is replaced by its layers."""
    for layer in network.layers:
        if isinstance(layer, keras.Model):
            yield from leaves(layer)
        else:
            yield layer

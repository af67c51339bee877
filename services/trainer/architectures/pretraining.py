"""Starting from weights that were trained on millions of images: where they come from, what they expect."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import keras
from keras import layers

from services.trainer.errors import TrainerError
from shared.imaging.preprocessing import imagenet_statistics
from shared.recipe import ImageSpec


class WeightsError(TrainerError):
    """Weights that can't be used for this network; the message says what to do."""


@dataclass(frozen=True)
class Origin:
    """Where a network's first weights come from."""

    source: str
    """A package with its version, or the name of a file."""
    sha256: str


@dataclass(frozen=True)
class PixelScale:
    """What weights were trained on: bytes, less a mean, by a deviation."""

    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    order: Literal["rgb", "bgr"] = "rgb"
    """The mean and deviation are in this order too."""


def rescale(images: keras.KerasTensor, spec: ImageSpec, scale: PixelScale) -> keras.KerasTensor:
    """From images as the recipe normalises them to what the weights were trained on, within the network.

    An image normalised by itself is taken for one with ImageNet's statistics. A grey one gets three equal channels.

    Args:
        images: (frames, height, width, channels), as `shared.imaging.preprocessing.normalise` gives them.
        spec: the recipe's image.
        scale: what the weights were trained on.

    Returns:
        (frames, height, width, 3).
    """
    if spec.channels == 1:
        images = layers.Concatenate()([images] * 3)
    elif scale.order == "bgr":
        images = keras.ops.flip(images, axis=-1)
    mean, deviation = _statistics(spec, scale.order)
    factors = [255 * was / becomes for was, becomes in zip(deviation, scale.deviation, strict=True)]
    offsets = [(255 * was - less) / by for was, less, by in zip(mean, scale.mean, scale.deviation, strict=True)]
    return layers.Rescaling(factors, offsets, name="pixels")(images)


def sha256_of(file: Path) -> str:
    """The digest of a file of weights, in hexadecimal.

    Raises:
        WeightsError: the file can't be read.
    """
    try:
        with file.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(f"{file}: can't be read ({error.strerror}): give the path of a file of weights") from error


def weights_in(folder: Path | None, architecture: str) -> Path | None:
    """The file that an architecture starts from, of a folder where each is named after its architecture.

    Returns:
        ``MobileNetV3Small.weights.h5`` for ``MobileNetV3Small``; None where there is none, or no folder.

    Raises:
        WeightsError: there are several, or the folder can't be read.
    """
    if folder is None:
        return None
    try:
        found = sorted(file for file in folder.iterdir() if file.is_file() and file.name.startswith(f"{architecture}."))
    except OSError as error:
        raise WeightsError(f"{folder}: can't be read ({error.strerror}): set TRAINER_WEIGHTS_FOLDER anew") from error
    if len(found) > 1:
        names = ", ".join(file.name for file in found)
        raise WeightsError(f"{folder} has {names} for {architecture}: leave one of them there")
    return found[0] if found else None


def _statistics(spec: ImageSpec, order: str) -> tuple[list[float], list[float]]:
    if spec.normalisation == "unit":
        return [0.0] * 3, [1.0] * 3
    mean, deviation = (values.tolist() * (3 // spec.channels) for values in imagenet_statistics(spec))
    return (mean, deviation) if order == "rgb" else (mean[::-1], deviation[::-1])


def freeze_statistics(network: keras.Model) -> None:
    """Let batch normalisation go on with what it has seen in millions of images; a few hundred would mislead it."""
    for layer in network.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.trainable = False

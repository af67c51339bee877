"""From a picture to what a network sees. A picture is normalised by itself, so no verdict depends on its neighbours."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.imaging.codec import Picture
from shared.recipe import PictureSpec

IMAGENET_MEAN: Final = np.array([0.485, 0.456, 0.406], np.float32)
IMAGENET_DEVIATION: Final = np.array([0.229, 0.224, 0.225], np.float32)
"""Of red, green and blue, as parts of 255."""
LEAST_DEVIATION: Final = 1e-3
"""Of a picture of one colour: it becomes zeros, not a division by zero."""


def resize(picture: Picture, spec: PictureSpec) -> NDArray[np.uint8]:
    """A picture at the size and in the colours of the recipe, still in bytes: what augmentation works on.

    Args:
        picture: (any height, any width, 3), blue green red, 0 to 255.
        spec: the recipe's picture.

    Returns:
        (height, width, channels) uint8, red green blue or grey.
    """
    smaller = picture.shape[0] > spec.height or picture.shape[1] > spec.width
    if picture.shape[:2] != (spec.height, spec.width):
        interpolation = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
        picture = np.asarray(cv2.resize(picture, (spec.width, spec.height), interpolation=interpolation), np.uint8)
    if spec.colour == "grey":
        return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), np.uint8)[..., np.newaxis]
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)


def normalise(pixels: NDArray[np.uint8], spec: PictureSpec) -> NDArray[np.float32]:
    """Bytes as the network's numbers, by the recipe's normalisation.

    Args:
        pixels: (height, width, channels), 0 to 255, as `resize` gives them.
        spec: the recipe's picture.

    Returns:
        (height, width, channels) float32.
    """
    values = np.asarray(pixels, np.float32) / np.float32(255)
    match spec.normalisation:
        case "unit":
            return np.asarray(values, np.float32)
        case "imagenet":
            mean, deviation = imagenet_statistics(spec)
            return np.asarray((values - mean) / deviation, np.float32)
        case "picture":
            return np.asarray((values - values.mean()) / max(float(values.std()), LEAST_DEVIATION), np.float32)


def imagenet_statistics(spec: PictureSpec) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and deviation by channel, as parts of 255; of grey pictures, the means of the three colours'."""
    if spec.colour == "grey":
        return IMAGENET_MEAN.mean(keepdims=True), IMAGENET_DEVIATION.mean(keepdims=True)
    return IMAGENET_MEAN, IMAGENET_DEVIATION


def prepare(picture: Picture, spec: PictureSpec) -> NDArray[np.float32]:
    """`resize`, then `normalise`: (height, width, channels) float32."""
    return normalise(resize(picture, spec), spec)

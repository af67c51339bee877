"""Prepare images for a network. Each image is normalised separately, so no verdict depends on the other images."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.imaging.codec import Image
from shared.imaging.references import References
from shared.recipe import ImageSpec

IMAGENET_MEAN: Final = np.array([0.485, 0.456, 0.406], np.float32)
IMAGENET_DEVIATION: Final = np.array([0.229, 0.224, 0.225], np.float32)
"""Standard deviation of red, green and blue, as parts of 255."""
LEAST_DEVIATION: Final = 1e-3
"""Smallest divisor: an image of one colour becomes zeros."""


def resize(image: Image, spec: ImageSpec) -> NDArray[np.uint8]:
    """Convert an image to the size and the colours of the recipe, as uint8: the input of augmentation.

    Args:
        image: (any height, any width, 3), blue green red, 0 to 255.
        spec: the recipe's image.

    Returns:
        (height, width, channels) uint8, red green blue or grey.
    """
    smaller = image.shape[0] > spec.height or image.shape[1] > spec.width
    if image.shape[:2] != (spec.height, spec.width):
        interpolation = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
        image = np.asarray(cv2.resize(image, (spec.width, spec.height), interpolation=interpolation), np.uint8)
    if spec.colour == "grey":
        return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8)[..., np.newaxis]
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def normalise(pixels: NDArray[np.uint8], spec: ImageSpec) -> NDArray[np.float32]:
    """Convert bytes to the numbers of the network, by the normalisation of the recipe.

    A reference beside the image is normalised separately.

    Args:
        pixels: (height, width, channels), 0 to 255, as `resize` or `References.beside` gives them.
        spec: the recipe's image.

    Returns:
        (height, width, channels) float32.
    """
    if spec.reference is not None:
        return np.concatenate([normalise(half, spec.alone) for half in np.split(pixels, 2, axis=2)], axis=2)
    values = np.asarray(pixels, np.float32) / np.float32(255)
    match spec.normalisation:
        case "unit":
            return np.asarray(values, np.float32)
        case "imagenet":
            mean, deviation = imagenet_statistics(spec)
            return np.asarray((values - mean) / deviation, np.float32)
        case "image":
            return np.asarray((values - values.mean()) / max(float(values.std()), LEAST_DEVIATION), np.float32)


def imagenet_statistics(spec: ImageSpec) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return mean and deviation of each channel, as parts of 255; for grey images, their average over the colours."""
    if spec.colour == "grey":
        return IMAGENET_MEAN.mean(keepdims=True), IMAGENET_DEVIATION.mean(keepdims=True)
    return IMAGENET_MEAN, IMAGENET_DEVIATION


def prepare(image: Image, spec: ImageSpec, references: References | None = None) -> NDArray[np.float32]:
    """Return an image as the network takes it: resized, beside its reference if the recipe has any, and normalised.

    Args:
        image: (any height, any width, 3), blue green red, 0 to 255.
        spec: the recipe's image.
        references: of the model; None if the recipe has none.

    Returns:
        (height, width, channels) float32, of the recipe's `ImageSpec.shape`.

    Raises:
        NotAligned: no reference can be aligned with the image.
    """
    return normalise(pixels_of(image, spec, references), spec)


def pixels_of(image: Image, spec: ImageSpec, references: References | None = None) -> NDArray[np.uint8]:
    """Return an image as `prepare` does, before it is normalised."""
    if (references is None) != (spec.reference is None):
        raise ValueError("references belong to a recipe with image.reference, and to no other")
    pixels = resize(image, spec)
    return pixels if references is None else references.beside(pixels)

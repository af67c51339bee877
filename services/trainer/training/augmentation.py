"""Augment images: apply the random changes that the recipe allows."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.recipe import Augmentation

Pixels = NDArray[np.uint8]
"""(height, width, channels), 0 to 255."""

BRIGHTNESS_SHARE: Final = 0.7
"""Share of the images whose contrast and brightness change."""
CONTRAST: Final = (0.8, 1.2)
"""Range of the factor of the grey values."""
BRIGHTNESS: Final = (0.0, 15.0)
"""Range of the grey levels that are added."""
STRIP_SHARE: Final = 0.5
"""Share of the images of which a strip is moved."""
STRIP: Final = 0.3
"""Height of the largest strip that is moved, as a share of the image's height."""
BLUR_SHARE: Final = 0.3
"""Share of the images that are blurred."""
BLUR: Final = (0.3, 1.0)
"""Range of the standard deviation in pixels."""
NOISE_SHARE: Final = 0.5
"""Share of the images that get noise."""
NOISE: Final = (1.0, 8.0)
"""Range of the standard deviation in grey levels."""


def augment(pixels: Pixels, allowed: Augmentation, rng: np.random.Generator) -> Pixels:
    """Return a randomly changed image.

    Args:
        pixels: (height, width, channels); the array is not changed.
        allowed: the changes after which the labels are still true.
        rng: chooses the changes.

    Returns:
        The same shape and type.
    """
    shape = pixels.shape
    if allowed.flip_horizontal and rng.random() < 0.5:
        pixels = pixels[:, ::-1]
    if allowed.flip_vertical and rng.random() < 0.5:
        pixels = pixels[::-1]
    if allowed.shift or allowed.rotation:
        pixels = shift_and_rotate(pixels, allowed, rng)
    if allowed.moved_strip and rng.random() < STRIP_SHARE:
        pixels = move_strip(pixels, int(rng.integers(1, max(2, round(STRIP * shape[0])))))
    if allowed.blur and rng.random() < BLUR_SHARE:
        pixels = _bytes(cv2.GaussianBlur(np.ascontiguousarray(pixels), (0, 0), rng.uniform(*BLUR)))
    if allowed.brightness and rng.random() < BRIGHTNESS_SHARE:
        pixels = relight(pixels, rng.uniform(*CONTRAST), rng.uniform(*BRIGHTNESS))
    if allowed.noise and rng.random() < NOISE_SHARE:
        grain = rng.standard_normal(pixels.shape, np.float32) * np.float32(rng.uniform(*NOISE))
        pixels = _bytes(pixels + grain)
    return np.ascontiguousarray(pixels.reshape(shape))


def relight(pixels: Pixels, contrast: float, brightness: float) -> Pixels:
    """Return ``contrast * pixels + brightness``, clipped to 0 to 255."""
    return _bytes(pixels * np.float32(contrast) + np.float32(brightness))


def move_strip(pixels: Pixels, rows: int) -> Pixels:
    """Move a number of rows from the top to the bottom."""
    return np.roll(pixels, -rows, axis=0)


def shift_and_rotate(pixels: Pixels, allowed: Augmentation, rng: np.random.Generator) -> Pixels:
    """Shift an image, and rotate it about its centre; the new borders mirror the image."""
    height, width = pixels.shape[:2]
    centre = ((width - 1) / 2, (height - 1) / 2)
    rotation = cv2.getRotationMatrix2D(centre, rng.uniform(-allowed.rotation, allowed.rotation), 1.0)
    shift = rng.uniform(-allowed.shift, allowed.shift, 2) * (width, height)
    matrix = np.column_stack([rotation[:, :2], rotation[:, 2] + shift])
    moved = cv2.warpAffine(np.ascontiguousarray(pixels), matrix, (width, height), borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(moved, np.uint8).reshape(pixels.shape)


def _bytes(values: NDArray[np.float32] | cv2.typing.MatLike) -> Pixels:
    return np.asarray(np.clip(np.rint(values), 0, 255), np.uint8)

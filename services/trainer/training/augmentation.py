"""Change the images of a training at random, in the ways that the recipe allows."""

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
BRIGHTNESS: Final = (0.0, 15.0)
STRIP_SHARE: Final = 0.5
STRIP: Final = 0.3
"""Height of the largest strip that is moved, as a share of the image's height."""
BLUR_SHARE: Final = 0.3
BLUR: Final = (0.3, 1.0)
"""Standard deviation in pixels."""
NOISE_SHARE: Final = 0.5
NOISE: Final = (1.0, 8.0)
"""Standard deviation in grey levels."""


def augment(pixels: Pixels, allowed: Augmentation, rng: np.random.Generator) -> Pixels:
    """Return an image that is changed at random.

    Args:
        pixels: (height, width, channels); not changed.
        allowed: the changes that keep the labels true.
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

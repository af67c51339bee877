"""Draw heatmaps over an image, each label in its colour."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.imaging.codec import Image
from shared.recipe import Colour

STRENGTH: Final = 0.6
"""Default opacity of the hottest place, 0 to 1."""


Layer = tuple[NDArray[np.uint8], Colour]
"""The heatmap of one label, (any height, any width) with 255 the hottest, and its colour (red, green, blue)."""


def overlay(image: Image, layers: Sequence[Layer], strength: float = STRENGTH) -> Image:
    """Colour an image where its heatmaps are hot; the colours of several labels mix by their heat.

    Args:
        image: (height, width, 3), blue green red.
        layers: heatmaps, which are stretched over the image.
        strength: opacity of the hottest place, 0 to 1.

    Returns:
        An image of the same size.
    """
    if not layers:
        return image
    height, width = image.shape[:2]
    stretched = [cv2.resize(pixels, (width, height), interpolation=cv2.INTER_LINEAR) for pixels, _ in layers]
    heat = np.stack(stretched).astype(np.float32) / 255
    colours = np.array([colour[::-1] for _, colour in layers], np.float32)
    hidden = strength * heat.max(axis=0)
    heat *= hidden / np.maximum(heat.sum(axis=0), np.float32(1e-6))
    # one channel at a time is several times faster than interleaved channels; einsum, because tensordot would occupy
    # all cores for sums this small
    channels = [
        cv2.convertScaleAbs(channel * (1 - hidden) + np.einsum("l,lhw->hw", colours[:, place], heat))
        for place, channel in enumerate(cv2.split(image))
    ]
    return np.asarray(cv2.merge(channels), np.uint8)

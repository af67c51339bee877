"""Heat over an image, each label in its colour."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.imaging.codec import Image
from shared.recipe import Colour

STRENGTH: Final = 0.6
"""How much of the image the hottest place hides, where nobody says otherwise."""


Layer = tuple[NDArray[np.uint8], Colour]
"""The heat of one label, (height, width) with 255 the hottest, and its colour, red green blue."""


def overlay(image: Image, layers: Sequence[Layer], strength: float = STRENGTH) -> Image:
    """Colour an image where it is hot; where several labels are, their colours mix by their heat.

    Args:
        image: (height, width, 3), blue green red.
        layers: per label; their heat has the size of the image.
        strength: how much of the image the hottest place hides, 0 to 1.

    Returns:
        An image of the same size.
    """
    if not layers:
        return image
    heat = np.stack([pixels for pixels, _ in layers]).astype(np.float32) / 255
    colours = np.array([colour[::-1] for _, colour in layers], np.float32)
    hidden = strength * heat.max(axis=0)
    heat *= hidden / np.maximum(heat.sum(axis=0), np.float32(1e-6))
    # channel by channel: arrays of pixels in a row are several times faster to work on than pixels of channels; and by
    # einsum, since what tensordot calls takes every core it can get, and wastes them on sums this small
    channels = [
        cv2.convertScaleAbs(channel * (1 - hidden) + np.einsum("l,lhw->hw", colours[:, place], heat))
        for place, channel in enumerate(cv2.split(image))
    ]
    return np.asarray(cv2.merge(channels), np.uint8)

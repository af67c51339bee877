"""Heat over a picture, each label in its colour."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from shared.recipe import Colour
from shared.vision.codec import Picture

STRENGTH: Final = 0.6
"""How much of the picture the hottest place hides."""


def overlay(picture: Picture, layers: Sequence[tuple[NDArray[np.uint8], Colour]]) -> Picture:
    """Colour a picture where it is hot; where several labels are, their colours mix by their heat.

    Args:
        picture: (height, width, 3), blue green red.
        layers: per label its heat, (height, width) with 255 the hottest, and its colour, red green blue.

    Returns:
        A picture of the same size.
    """
    if not layers:
        return picture
    heat = np.stack([pixels for pixels, _ in layers], axis=-1).astype(np.float32) / 255
    colours = np.array([colour[::-1] for _, colour in layers], np.float32)
    total = heat.sum(axis=-1, keepdims=True)
    mixed = (heat @ colours) / np.maximum(total, np.float32(1e-6))
    hidden = STRENGTH * heat.max(axis=-1, keepdims=True)
    return np.asarray(np.rint(picture * (1 - hidden) + mixed * hidden), np.uint8)

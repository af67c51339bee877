"""Heat over a picture, each label in its colour."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from shared.recipe import Colour
from shared.vision.codec import Picture

STRENGTH: Final = 0.6
"""How much of the picture the hottest place hides, where nobody says otherwise."""


Layer = tuple[NDArray[np.uint8], Colour]
"""The heat of one label, (height, width) with 255 the hottest, and its colour, red green blue."""


def overlay(picture: Picture, layers: Sequence[Layer], strength: float = STRENGTH) -> Picture:
    """Colour a picture where it is hot; where several labels are, their colours mix by their heat.

    Args:
        picture: (height, width, 3), blue green red.
        layers: per label; their heat has the size of the picture.
        strength: how much of the picture the hottest place hides, 0 to 1.

    Returns:
        A picture of the same size.
    """
    if not layers:
        return picture
    heat = np.stack([pixels for pixels, _ in layers], axis=-1).astype(np.float32) / 255
    colours = np.array([colour[::-1] for _, colour in layers], np.float32)
    total = heat.sum(axis=-1, keepdims=True)
    mixed = (heat @ colours) / np.maximum(total, np.float32(1e-6))
    hidden = strength * heat.max(axis=-1, keepdims=True)
    return np.asarray(np.rint(picture * (1 - hidden) + mixed * hidden), np.uint8)

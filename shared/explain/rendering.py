"""Render the map of a network at the size of the image: the heatmap that is stored and shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

HOT: Final = 0.5
"""The hot region is as hot as this part of the peak."""


@dataclass(frozen=True)
class Heat:
    """Where one label was seen in an image."""

    pixels: NDArray[np.uint8]
    """(height, width) of the image; 255 is the hottest."""
    peak: tuple[int, int] | None
    """x, y in pixels; None when there is no heat at all."""
    box: tuple[int, int, int, int] | None
    """x, y, width, height of the hot region around the peak, in pixels."""


def heat_of(map_: NDArray[np.float32], height: int, width: int) -> Heat:
    """A map at the size of the image, scaled so that its peak is 255.

    Args:
        map_: (any height, any width), 0 or more. A map of zeros, or of what is no number, gives an empty heat.
        height: of the image, in pixels.
        width: of the image, in pixels.
    """
    hottest = float(map_.max(initial=0.0)) if np.isfinite(map_).all() else 0.0
    if hottest <= 0:
        return Heat(np.zeros((height, width), np.uint8), None, None)
    values = cv2.resize(map_ / np.float32(hottest), (width, height), interpolation=cv2.INTER_LINEAR)
    top = float(values.max())
    # the middle of the hottest cell: at an edge, all pixels from there outwards are as hot
    row, column = np.unravel_index(int(map_.argmax()), map_.shape)
    x, y = int((column + 0.5) * width / map_.shape[1]), int((row + 0.5) * height / map_.shape[0])
    return Heat(
        pixels=np.asarray(cv2.convertScaleAbs(values, alpha=255 / top), np.uint8),
        peak=(x, y),
        box=_region_around(x, y, values >= HOT * top),
    )


def _region_around(x: int, y: int, hot: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """The box of the connected region that holds a pixel."""
    _, _, _, (left, top, width, height) = cv2.floodFill(hot.astype(np.uint8), None, (x, y), 2, flags=8)
    return int(left), int(top), int(width), int(height)

"""Render the map of a network at the size of the image: the heatmap that is stored and shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

HOT: Final = 0.5
"""The hot region has at least this share of the heat of the peak."""


@dataclass(frozen=True)
class Heat:
    """The heatmap of one label of an image."""

    pixels: NDArray[np.uint8]
    """(height, width) of the image. The peak has the heat of its evidence; other places have a share of it."""
    peak: tuple[int, int] | None
    """x, y in pixels of the strongest evidence, be it rare or not; None if there is none."""
    box: tuple[int, int, int, int] | None
    """x, y, width, height of the region around the peak with at least half of its evidence, in pixels."""


def heat_of(map_: NDArray[np.float32], height: int, width: int, shade: float = 1.0) -> Heat:
    """Bring a map to the size of the image, and its peak to a heat.

    Args:
        map_: (any height, any width), 0 or more. A map of zeros, or with nan or infinity, gives an empty heatmap.
        height: of the image, in pixels.
        width: of the image, in pixels.
        shade: the heat of the peak, 0 to 1; see `shared.explain.scale`.
    """
    hottest = float(map_.max(initial=0.0)) if np.isfinite(map_).all() else 0.0
    if hottest <= 0:
        return Heat(np.zeros((height, width), np.uint8), None, None)
    values = cv2.resize(map_ / np.float32(hottest), (width, height), interpolation=cv2.INTER_LINEAR)
    top = float(values.max())
    # the centre of the hottest cell: at an edge, all pixels from there outwards are as hot
    row, column = np.unravel_index(int(map_.argmax()), map_.shape)
    x, y = int((column + 0.5) * width / map_.shape[1]), int((row + 0.5) * height / map_.shape[0])
    # the connected hot region around the peak
    _, _, _, box = cv2.floodFill((values >= HOT * top).astype(np.uint8), None, (x, y), 2, flags=8)
    left, upper, box_width, box_height = (int(side) for side in box)
    return Heat(
        pixels=np.asarray(cv2.convertScaleAbs(values, alpha=255 * shade / top), np.uint8),
        peak=(x, y),
        box=(left, upper, box_width, box_height),
    )

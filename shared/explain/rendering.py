"""Render the map of a network as a grey image: the heatmap that is stored and shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

HOT: Final = 0.5
"""The hot region has at least this share of the heat of the peak."""


Point = tuple[int, int]
"""x, y in pixels."""
Box = tuple[int, int, int, int]
"""x, y, width, height in pixels."""


@dataclass(frozen=True)
class Heat:
    """The heatmap of one label of an image."""

    pixels: NDArray[np.uint8]
    """(height, width). The peak has the heat of its evidence; other places have a share of it."""
    peak: Point | None
    """The place of the strongest evidence, be it rare or not; None if there is none."""
    box: Box | None
    """The region around the peak with at least half of its evidence."""

    def stretched(self, height: int, width: int) -> tuple[Point | None, Box | None]:
        """Return peak and box in the pixels of an image over which the heatmap is stretched."""
        if self.peak is None or self.box is None:
            return None, None
        down, across = height / self.pixels.shape[0], width / self.pixels.shape[1]
        left, upper, box_width, box_height = self.box
        right, lower = round((left + box_width) * across), round((upper + box_height) * down)
        left, upper = round(left * across), round(upper * down)
        peak = int((self.peak[0] + 0.5) * across), int((self.peak[1] + 0.5) * down)
        return peak, (left, upper, right - left, lower - upper)


def heat_of(map_: NDArray[np.float32], height: int, width: int, shade: float = 1.0) -> Heat:
    """Bring a map to a size, and its peak to a heat.

    Args:
        map_: (any height, any width), 0 or more. A map of zeros, or with nan or infinity, gives an empty heatmap.
        height: of the heatmap, in pixels.
        width: of the heatmap, in pixels.
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

"""Paste synthetic defects on good images, to see whether heatmaps find them where no defect is marked.

Pieces of other images are pasted at a place where they do not belong (after Li et al. 2021, CutPaste, doi
10.1109/CVPR46437.2021.00954), as patches, spots and scratches.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.explain.masks import Mask

LENGTHS: Final = (0.06, 0.25)
"""Smallest and largest length of a piece, as a share of the image's shorter side."""
THINNEST_SCRATCH: Final = 0.15
"""Width of the thinnest scratch, as a share of its length."""
CONTRAST: Final = (0.5, 1.5)
"""Smallest and largest factor for the brightness of a pasted piece."""
EDGE_BLUR: Final = 0.01
"""Standard deviation of the blur of a piece's edge, as a share of the image's shorter side."""

Pixels = NDArray[np.uint8]
"""(height, width, channels)."""


def paste_defect(image: Pixels, source: Pixels, rng: np.random.Generator) -> tuple[Pixels, Mask]:
    """Return an image with a piece of another image, and the mask of the piece.

    Args:
        image: a good image.
        source: another image of the same size.
        rng: chooses shape, size, place and brightness.
    """
    height, width = image.shape[:2]
    side = min(height, width)
    length = side * np.exp(rng.uniform(*np.log(LENGTHS)))
    half = np.array([length, length * rng.choice([1.0, rng.uniform(THINNEST_SCRATCH, 0.5)])]) / 2
    margin = length / 2
    centre = rng.uniform([margin, margin], [width - margin, height - margin])
    shape = np.zeros((height, width), np.uint8)
    angle = float(rng.uniform(0, 180))
    if rng.random() < 0.5:
        cv2.ellipse(shape, (tuple(map(float, centre)), tuple(map(float, 2 * half)), angle), 255, cv2.FILLED)
    else:
        corners = cv2.boxPoints((tuple(map(float, centre)), tuple(map(float, 2 * half)), angle))
        cv2.fillPoly(shape, [np.round(corners).astype(np.int32)], 255)
    shape[int(centre[1]), int(centre[0])] = 255  # a scratch may be thinner than a pixel
    moved = np.roll(source, (int(rng.integers(height)), int(rng.integers(width))), axis=(0, 1)).astype(np.float32)
    piece = np.clip(moved * rng.uniform(*CONTRAST), 0, 255)
    opacity = cv2.GaussianBlur(shape, (0, 0), max(0.5, EDGE_BLUR * side)).astype(np.float32)[..., np.newaxis] / 255
    return np.asarray(np.rint(image * (1 - opacity) + piece * opacity), np.uint8), shape > 0

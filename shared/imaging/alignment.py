"""Align a reference image with an image of a part that lies a little differently."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

SIDE: Final = 160
"""Most pixels of the longer side at which images are aligned; the result is finer than a pixel."""
SOFTNESS: Final = 1.0
"""Standard deviation of the blur before, in pixels: it hides noise, and widens the reach of the refinement."""
MOTIONS: Final = {
    "shift": cv2.MOTION_TRANSLATION,
    "rotation": cv2.MOTION_EUCLIDEAN,
    "affine": cv2.MOTION_AFFINE,
}
"""OpenCV's names of the motions."""
CRITERIA: Final = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 30, 1e-4)
"""When the refinement ends: after 30 steps, or if the likeness grows by less than 0.0001."""
COVERED: Final = 0.999
"""Least weight with which the reference covers a pixel; other pixels lie partly beside the reference."""

Matrix = NDArray[np.float32]
"""(2, 3): the place in the reference of each place in the image."""
Grey = NDArray[np.uint8]
"""(height, width)."""


@dataclass(frozen=True)
class Alignment:
    """How a reference lies on an image, and how well it fits."""

    matrix: Matrix
    likeness: float
    """Correlation of both where the reference covers the image, -1 to 1."""
    covered: float
    """Share of the image that the reference covers."""


def align(image: Grey, reference: Grey, motion: str) -> Alignment:
    """Find how a reference lies on an image of the same size.

    The shift is found by phase correlation, whatever its size, and refined together with the rest of the motion by
    maximising the correlation (Evangelidis and Psarakis 2008, doi 10.1109/TPAMI.2008.113). Brightness and contrast of
    the two may differ. The best of no motion, the shift and the refined motion is returned.

    Args:
        image: of the part.
        reference: of a good part.
        motion: one of `MOTIONS`, or ``none``.
    """
    height, width = image.shape
    scale = min(1.0, SIDE / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small, golden = (_softened(each, size) for each in (image, reference))
    best = _measured(small, golden, np.eye(2, 3, dtype=np.float32))
    if motion != "none":
        (right, down), _ = cv2.phaseCorrelate(golden.copy(), small.copy(), _window(size))  # it may write into them
        shift = np.array([[1, 0, -right], [0, 1, -down]], np.float32)
        best = max(best, _measured(small, golden, shift), key=lambda each: each.likeness)
        try:
            _, refined = cv2.findTransformECC(small, golden, best.matrix.copy(), MOTIONS[motion], CRITERIA)
        except cv2.error:  # it does not converge where the two have nothing in common
            pass
        else:
            found = _measured(small, golden, np.asarray(refined, np.float32))
            best = max(best, found, key=lambda each: each.likeness)
    to_small = np.array(
        [
            [size[0] / width, 0, (size[0] / width - 1) / 2],
            [0, size[1] / height, (size[1] / height - 1) / 2],
            [0, 0, 1],
        ]
    )
    matrix = np.linalg.inv(to_small) @ np.vstack([best.matrix, [0, 0, 1]]) @ to_small
    return Alignment(np.asarray(matrix[:2], np.float32), best.likeness, best.covered)


def warp(pixels: NDArray[np.uint8], matrix: Matrix, beyond: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Move a reference to where it lies on an image; where it does not reach, take the pixels of the image.

    Args:
        pixels: the reference, (height, width, channels).
        matrix: of the alignment.
        beyond: the image, of the same shape.
    """
    height, width, _ = pixels.shape
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    moved = cv2.warpAffine(pixels, matrix, (width, height), flags=flags).reshape(pixels.shape)
    covered = cv2.warpAffine(np.full((height, width), 255, np.uint8), matrix, (width, height), flags=flags)
    return np.asarray(np.where((covered == 255)[..., np.newaxis], moved, beyond), np.uint8)


def _softened(image: Grey, size: tuple[int, int]) -> NDArray[np.float32]:
    """Return an image at the size of the alignment, without noise and with a mean of 0."""
    small = image if image.shape[::-1] == size else cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    soft = cv2.GaussianBlur(np.asarray(small, np.float32), (0, 0), SOFTNESS)
    return np.asarray(soft - soft.mean(), np.float32)


def _measured(image: NDArray[np.float32], reference: NDArray[np.float32], matrix: Matrix) -> Alignment:
    """Measure the likeness of an image and a reference that lies on it as a matrix says."""
    size, flags = image.shape[::-1], cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    moved = cv2.warpAffine(reference, matrix, size, flags=flags)
    covered = cv2.warpAffine(np.ones_like(reference), matrix, size, flags=flags) > COVERED
    return Alignment(matrix, correlation(image[covered], np.asarray(moved[covered], np.float32)), float(covered.mean()))


def correlation(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Return the correlation of two sets of values, -1 to 1; 0 if one of them is all the same."""
    if not one.size:
        return 0.0
    first, second = one - one.mean(), other - other.mean()
    scale = float(np.sqrt((first * first).sum(dtype=np.float64) * (second * second).sum(dtype=np.float64)))
    return float((first * second).sum(dtype=np.float64)) / scale if scale > 0 else 0.0


@lru_cache(maxsize=8)
def _window(size: tuple[int, int]) -> NDArray[np.float32]:
    """Return the weights that hide that an image ends, which phase correlation would take for a structure."""
    return np.asarray(cv2.createHanningWindow(size, cv2.CV_32F), np.float32)

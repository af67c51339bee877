"""Does a heatmap point at what is there? Of one image at a time, and beside it what blind luck would get."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.explain.heat import Heat
from shared.explain.masks import Mask

TOLERANCE: Final = 0.05
"""Of the image's shorter side: so far beside a mask a peak still points at it."""


@dataclass(frozen=True)
class Pointing:
    """One heatmap against one mask."""

    hit: float
    """1: its peak is in the mask, or within the tolerance of it (Zhang et al. 2018, doi 10.1007/s11263-017-1059-x)."""
    centre: float
    """1: the middle of the image would have hit as well."""
    random: float
    """How likely a pixel drawn by lot hits."""
    energy: float
    """The part of all heat that is in the mask itself (Wang et al. 2020, doi 10.1109/CVPRW50498.2020.00020)."""
    area: float
    """The part of the image that is in the mask itself: the energy of a map without any opinion."""


def point(heat: Heat, mask: Mask) -> Pointing:
    """Hold a heatmap against the truth; a map without any activation points nowhere.

    Args:
        heat: of the image's size.
        mask: of the image's size.
    """
    near = dilated(mask, TOLERANCE)
    height, width = mask.shape
    total = float(heat.pixels.sum())
    return Pointing(
        hit=float(heat.peak is not None and near[heat.peak[1], heat.peak[0]]),
        centre=float(near[height // 2, width // 2]),
        random=float(near.mean()),
        energy=float(heat.pixels[mask].sum()) / total if total else 0.0,
        area=float(mask.mean()),
    )


def dilated(mask: Mask, tolerance: float) -> Mask:
    """A mask grown on all sides by a part of the image's shorter side, at least by a pixel."""
    radius = max(1, round(tolerance * min(mask.shape)))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return np.asarray(cv2.dilate(mask.astype(np.uint8), disc) > 0)


def rank_correlation(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Spearman's, between two maps: 1 where they order all places alike, 0 where one says nothing of the other.

    A map that is the same everywhere orders nothing: 0.
    """
    ranks = np.stack([_ranks(one.ravel()), _ranks(other.ravel())])
    ranks -= ranks.mean(axis=1, keepdims=True)
    scale = float(np.sqrt((ranks**2).sum(axis=1).prod()))
    return float((ranks[0] * ranks[1]).sum() / scale) if scale > 0 else 0.0


def _ranks(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """From 1; equal values share the middle of their ranks."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[place], np.float64)

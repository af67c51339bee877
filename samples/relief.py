"""Draw the relief of the cloth (folds, the groove under the thread, puckers) and the light on it."""

import cv2
import numpy as np

from samples.raster import Array, Raster
from samples.seam import Seam
from samples.thread import LIGHT

COARSE = 2.5
"""Pixels per mm of the relief, whose smallest details have half a millimetre."""


def light_on_relief(raster: Raster, seam: Seam, rng: np.random.Generator) -> Array:
    """Return the brightness of each pixel from the slope of the cloth there, (H, W), 0.5..1.5, mostly near 1."""
    coarse = Raster(raster.width_mm, raster.height_mm, COARSE)
    height = _folds(coarse, rng) + _seam_relief(coarse, seam, rng)
    down, right = np.gradient(height, 1 / COARSE)
    light = np.clip(1 - (right * LIGHT[0] + down * LIGHT[1]), 0.5, 1.5).astype(np.float32)
    rows, columns = raster.shape
    return np.asarray(cv2.resize(light, (columns, rows), interpolation=cv2.INTER_LINEAR), dtype=np.float32)


def _folds(raster: Raster, rng: np.random.Generator) -> Array:
    """Return the height in mm of soft folds, mostly across the seam; some cloth is flat, some is rumpled."""
    soft = raster.noise(rng, rng.uniform(12, 30), rng.uniform(30, 70))
    rumples = raster.noise(rng, rng.uniform(6, 12), rng.uniform(6, 16))
    return rng.exponential(0.35) * soft + rng.exponential(0.03) * rumples


def _seam_relief(raster: Raster, seam: Seam, rng: np.random.Generator) -> Array:
    """Return the height in mm of the groove under the seam and of the puckers beside it."""
    x, y = raster.grid()
    off = y - np.interp(x[0], seam.holes[:, 0], seam.holes[:, 1]).astype(np.float32)[None, :]
    groove = -rng.uniform(0.05, 0.22) * np.exp(-((off / 0.7) ** 2))
    reach = rng.uniform(2.0, 6.0)
    puckers = raster.noise(rng, rng.uniform(2.5, 6.0), 60.0)
    relief = groove + rng.exponential(0.05) * puckers * np.exp(-np.abs(off) / reach)
    return np.asarray(relief, dtype=np.float32)

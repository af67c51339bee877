"""Draw what lies on good cloth in any plant: lint, and sometimes a faint line of chalk. It is not a defect."""

import cv2
import numpy as np

from samples.choices import chance
from samples.raster import Array, Raster


def scatter(colours: Array, raster: Raster, rng: np.random.Generator) -> None:
    """Draw lint and chalk into `colours`, float32 BGR (H, W, 3)."""
    area_cm2 = raster.width_mm * raster.height_mm / 100
    for _ in range(rng.poisson(0.12 * area_cm2)):
        _fibre(colours, raster, rng)
    if chance(rng, 0.12):
        _chalk(colours, raster, rng)


def _fibre(colours: Array, raster: Raster, rng: np.random.Generator) -> None:
    """Draw a fibre, much thinner than thread, up to 4 mm long, lighter or darker than the cloth."""
    start = rng.random(2) * (raster.width_mm, raster.height_mm)
    headings = rng.uniform(-3.2, 3.2) + np.cumsum(rng.normal(0, 0.3, 12))
    step = rng.uniform(0.4, 4.0) / 12
    way = start + np.cumsum(np.stack([np.cos(headings), np.sin(headings)], axis=1) * step, axis=0)
    tone = float(rng.choice([40, 120, 235], p=[0.2, 0.2, 0.6]))
    _stroke(colours, raster, way.astype(np.float32), width_mm=0.09, tone=tone, strength=rng.uniform(0.15, 0.5))


def _chalk(colours: Array, raster: Raster, rng: np.random.Generator) -> None:
    """Draw a pale line of chalk, 8 to 25 mm long."""
    start = rng.random(2) * (raster.width_mm, raster.height_mm)
    angle = rng.uniform(0, np.pi)
    end = start + rng.uniform(8, 25) * np.array([np.cos(angle), np.sin(angle)])
    way = np.stack([start, end]).astype(np.float32)
    _stroke(colours, raster, way, width_mm=1.3, tone=220.0, strength=rng.uniform(0.04, 0.16))


def _stroke(colours: Array, raster: Raster, way: Array, *, width_mm: float, tone: float, strength: float) -> None:
    """Tint the cloth along `way`, (n, 2) in mm, towards the grey `tone`, 0..255, by `strength`, 0..1."""
    window = raster.window(way, width_mm + 0.5)
    if window.empty:
        return
    points = ((way - window.corner_mm) * raster.pixels_per_mm).round().astype(np.int32)
    thick = max(1, round(width_mm * raster.pixels_per_mm))
    cover = np.zeros(window.raster.shape, dtype=np.float32)
    cv2.polylines(cover, [points], isClosed=False, color=strength, thickness=thick)
    patch = window.of(colours)
    patch += cv2.GaussianBlur(cover, (0, 0), max(0.8, 0.35 * thick))[..., None] * (tone - patch)

"""Simulate the camera over the seam: its light, its lens and its sensor."""

from dataclasses import dataclass

import cv2
import numpy as np

from samples.raster import Array, Image, Raster
from samples.strip import DefectMask, Strip

FIELD_OF_VIEW_MM = 41.0
"""Side of the square that the camera sees, so that a 4 mm stitch is 22 pixels long in an image of 224."""


@dataclass(frozen=True)
class View:
    """Where the camera looks: the affine transformation (2, 3) from its pixels to those of a strip."""

    matrix: Array
    size: int


class Camera:
    """A camera with its lamp. One camera films a whole video: its light, focus and noise stay the same."""

    def __init__(self, size: int, rng: np.random.Generator, tilt: float = 0.0) -> None:
        self.size = size
        self._scale = size / 224
        self._light = _lamp(size, rng)
        self._focus = rng.uniform(0.2, 0.65) * self._scale
        self._read_noise = rng.uniform(0.4, 1.4)
        self._shot_noise = rng.uniform(0.03, 0.12)
        self._tilt = tilt + rng.normal(0, 0.012)

    def look(self, strip: Strip, x_mm: float, y_mm: float, rng: np.random.Generator) -> View:
        """Return the view centred at (`x_mm`, `y_mm`) of the strip; the machine shakes the camera a little."""
        x, y = np.array([x_mm, y_mm]) * strip.pixels_per_mm + rng.normal(0, 0.35, 2) * self._scale
        angle = self._tilt + rng.normal(0, 0.002)
        cosine, sine, half = np.cos(angle), np.sin(angle), (self.size - 1) / 2
        matrix = [[cosine, -sine, x - half * (cosine - sine)], [sine, cosine, y - half * (sine + cosine)]]
        return View(np.array(matrix, dtype=np.float32), self.size)

    def shoot(self, strip: Strip, view: View, smear_mm: float, rng: np.random.Generator) -> Image:
        """Return an image, uint8 BGR (size, size, 3); the cloth moved `smear_mm` while the shutter was open."""
        seen = _through(view, strip.image, cv2.INTER_LINEAR, cv2.BORDER_REPLICATE)
        smear = 0.29 * smear_mm * strip.pixels_per_mm
        sharp = cv2.GaussianBlur(seen, (0, 0), float(np.hypot(self._focus, smear)), sigmaY=self._focus)
        exposure = np.float32(1 + rng.normal(0, 0.008))
        exposed = sharp * self._light * exposure
        noisy: Array = exposed + self._noise(exposed, rng)
        return np.clip(noisy, 0, 255).astype(np.uint8)

    def _noise(self, exposed: Array, rng: np.random.Generator) -> Array:
        """Return the noise of the sensor, (size, size, 3), smoothed as by the camera's processor."""
        raw = rng.standard_normal(exposed.shape, dtype=np.float32)
        soft = cv2.GaussianBlur(raw, (3, 3), 0.6)
        strength = np.float32(self._read_noise) + np.float32(self._shot_noise) * np.sqrt(exposed)
        return np.asarray(soft * strength, dtype=np.float32)


def mask_in_view(view: View, defect: DefectMask) -> Image:
    """Return the mask of a defect as the camera sees it: 0 or 255, (size, size)."""
    moved = view.matrix.copy()
    moved[:, 2] -= (defect.left, defect.top)
    return _through(View(moved, view.size), defect.mask, cv2.INTER_NEAREST, cv2.BORDER_CONSTANT)


def _through(view: View, image: Image, interpolation: int, border: int) -> Image:
    size = (view.size, view.size)
    seen = cv2.warpAffine(image, view.matrix, size, flags=interpolation | cv2.WARP_INVERSE_MAP, borderMode=border)
    return np.asarray(seen, dtype=np.uint8)


def _lamp(size: int, rng: np.random.Generator) -> Array:
    """Return the light over the image, (size, size, 3), about 1: brighter near the lamp, darker in corners, tinted."""
    x, y = Raster(1.0, 1.0, float(size)).grid()
    lamp_x, lamp_y = rng.uniform(-0.3, 1.3, 2)
    near = np.exp(-((x - lamp_x) ** 2 + (y - lamp_y) ** 2) / rng.uniform(0.8, 2.0))
    corners = (x - 0.5) ** 2 + (y - 0.5) ** 2
    light = 1 + rng.uniform(0.05, 0.3) * (near - near.mean()) - rng.uniform(0, 0.25) * (corners - corners.mean())
    tint = 1 + rng.normal(0, 0.025, 3)
    return np.asarray(light[..., None] * tint * rng.uniform(0.82, 1.02), dtype=np.float32)

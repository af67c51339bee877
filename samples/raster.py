"""A rectangle of cloth in millimetres, and the numpy images drawn of it."""

from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.float32]
Image: TypeAlias = npt.NDArray[np.uint8]


def vector(*numbers: float) -> Array:
    """Return numbers as an array, shape (n,)."""
    return np.array(numbers, dtype=np.float32)


@dataclass(frozen=True)
class Raster:
    """Converts millimetres to pixels: x runs along the seam, y across it, both from the upper left corner."""

    width_mm: float
    height_mm: float
    pixels_per_mm: float

    @property
    def shape(self) -> tuple[int, int]:
        """Return rows and columns of an image of this rectangle."""
        return round(self.height_mm * self.pixels_per_mm), round(self.width_mm * self.pixels_per_mm)

    def window(self, points: Array, margin_mm: float) -> "Window":
        """Return the window of this raster around `points`, shape (n, 2) in mm; it may be empty."""
        height, width = self.shape
        first = (points.min(axis=0) - margin_mm) * self.pixels_per_mm
        last = (points.max(axis=0) + margin_mm) * self.pixels_per_mm
        left, right = (int(np.clip(x, 0, width)) for x in (first[0], last[0]))
        top, bottom = (int(np.clip(y, 0, height)) for y in (first[1], last[1]))
        return Window(top, bottom, left, right, self.pixels_per_mm)

    def grid(self) -> tuple[Array, Array]:
        """Return the x of each column, shape (1, W), and the y of each row, shape (H, 1), in mm."""
        height, width = self.shape
        x = (np.arange(width, dtype=np.float32) + 0.5) / np.float32(self.pixels_per_mm)
        y = (np.arange(height, dtype=np.float32) + 0.5) / np.float32(self.pixels_per_mm)
        return x[None, :], y[:, None]

    def noise(self, rng: np.random.Generator, along_mm: float, across_mm: float) -> Array:
        """Return smooth noise, shape (H, W), mean 0 and deviation near 1, with grains of `along_mm` x `across_mm`."""
        height, width = self.shape
        rows = max(4, int(self.height_mm / across_mm) + 2)
        columns = max(4, int(self.width_mm / along_mm) + 2)
        grains = rng.standard_normal((min(rows, height), min(columns, width)), dtype=np.float32)
        return np.asarray(cv2.resize(grains, (width, height), interpolation=cv2.INTER_CUBIC), dtype=np.float32) * 1.3

    def splat(self, points: Array, values: Array) -> Array:
        """Add `values`, shape (n, k), to the four pixels around each of `points`, shape (n, 2) in mm: (H, W, k)."""
        height, width = self.shape
        at = points * np.float32(self.pixels_per_mm) - np.float32(0.5)
        corner = np.floor(at).astype(np.int64)
        fraction = at - corner
        total = np.zeros((height * width, values.shape[1]), dtype=np.float32)
        for down in (0, 1):
            for right in (0, 1):
                column, row = corner[:, 0] + right, corner[:, 1] + down
                inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
                share = np.abs(1 - right - fraction[:, 0]) * np.abs(1 - down - fraction[:, 1])
                pixel = (row * width + column)[inside]
                for k in range(values.shape[1]):
                    weights = (share * values[:, k])[inside]
                    total[:, k] += np.bincount(pixel, weights, minlength=height * width)
        return total.reshape(height, width, -1)

    def blur(self, image: Array, deviation_mm: float) -> Array:
        """Return the image blurred by a Gaussian of that deviation; same shape."""
        return np.asarray(cv2.GaussianBlur(image, (0, 0), deviation_mm * self.pixels_per_mm), dtype=np.float32)


@dataclass(frozen=True)
class Window:
    """Rows `top`..`bottom` and columns `left`..`right` of a raster, their ends excluded."""

    top: int
    bottom: int
    left: int
    right: int
    pixels_per_mm: float

    def of(self, image: Array) -> Array:
        """Return this window of an image, to draw into."""
        return image[self.top : self.bottom, self.left : self.right]

    @property
    def empty(self) -> bool:
        """Return whether the window has no pixels."""
        return self.top >= self.bottom or self.left >= self.right

    @property
    def corner_mm(self) -> Array:
        """Return the upper left corner, (2,)."""
        return vector(self.left, self.top) / np.float32(self.pixels_per_mm)

    @property
    def raster(self) -> Raster:
        """Return the window as a raster."""
        width, height = self.right - self.left, self.bottom - self.top
        return Raster(width / self.pixels_per_mm, height / self.pixels_per_mm, self.pixels_per_mm)

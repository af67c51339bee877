"""Images of two products that are compared with a reference image: boards of random traces, some with a hole."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import cv2
import numpy as np

from shared.imaging.codec import Image
from shared.recipe import Recipe, parse_recipe
from tests.strokes import write_table

BOARDS: Final = """
name: boards
task: multi-label
image:
  height: 64
  width: 64
  reference: {images: golden/*, motion: rotation, least_likeness: 0.8}
labels:
  good: {key: g, colour: white, role: quality}
  hole: {key: h, colour: red, role: defect}
explanation: {method: layer-cam, layer: block3_expanded_beside}
"""
SIDE: Final = 64
GROUND: Final = 40
COPPER: Final = 200
PER_GROUP: Final = 4


def boards_recipe() -> Recipe:
    return parse_recipe(BOARDS)


def board(product: int) -> Image:
    """The golden sample of a product."""
    rng = np.random.default_rng([77, product])
    image = np.full((SIDE, SIDE, 3), GROUND, np.uint8)
    for _ in range(12):
        corner, size = rng.integers(0, SIDE - 8, 2), rng.integers(5, 24, 2)
        cv2.rectangle(image, corner.tolist(), (corner + size).tolist(), (COPPER,) * 3, cv2.FILLED)
    return image


def moved(image: Image, right: float, down: float, degrees: float = 0.0) -> Image:
    """An image that was shifted by some pixels, after it was rotated around its middle."""
    height, width = image.shape[:2]
    matrix = np.asarray(cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1), np.float64)
    matrix[:, 2] += np.array([right, down])
    return np.asarray(cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE), np.uint8)


def part(product: int, number: int, *, hole: bool) -> Image:
    """A part that lies a little otherwise than its golden sample, under other light."""
    rng = np.random.default_rng([product, number])
    image = board(product)
    if hole:
        copper = np.argwhere(cv2.erode(image[..., 0], np.ones((9, 9), np.uint8)) == COPPER)
        down, right = copper[rng.integers(len(copper))].tolist()
        cv2.circle(image, (right, down), 3, (GROUND,) * 3, cv2.FILLED)
    right, down, degrees = rng.uniform(-2, 2, 3).tolist()
    image = moved(image, right, down, degrees)
    return np.clip(image * rng.uniform(0.8, 1.1) + rng.normal(0, 3, image.shape), 0, 255).astype(np.uint8)


def draw_boards(folder: Path, count: int) -> Path:
    """A folder with parts of two products, every second one with a hole, and their golden samples."""
    (folder / "images" / "golden").mkdir(parents=True)
    labels, groups = [], []
    for product in (0, 1):
        cv2.imwrite(str(folder / "images" / "golden" / f"{product}.png"), board(product))
        labels.append((f"golden/{product}.png", True, False))
        groups.append((f"golden/{product}.png", "golden"))
    for number in range(count):
        name, hole = f"{number:03d}.png", number % 2 == 1
        cv2.imwrite(str(folder / "images" / name), part(number // 2 % 2, number, hole=hole))
        labels.append((name, not hole, hole))
        groups.append((name, f"lot-{number // PER_GROUP}"))
    write_table(folder / "labels.csv", ("name", "good", "hole"), labels)
    write_table(folder / "groups.csv", ("name", "group"), groups)
    return folder

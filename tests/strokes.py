"""Images that a small network learns in seconds: a grey ground with a bright stroke, a dark one, or none."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from shared.recipe import Recipe, parse_recipe

STROKES: Final = """
name: strokes
task: multi-label
image: {height: 32, width: 32, normalisation: unit}
labels:
  good: {key: g, colour: white, role: quality}
  dark: {key: d, colour: blue, role: defect}
  bright: {key: b, colour: green, role: defect}
augmentation: {brightness: false, flip_horizontal: true, flip_vertical: true}
"""
LABELS: Final = ("good", "dark", "bright")
PER_GROUP: Final = 5


def strokes_recipe() -> Recipe:
    return parse_recipe(STROKES)


def draw_strokes(folder: Path, count: int, seed: int = 0) -> Path:
    """A folder with images/, labels.csv and groups.csv; five images in a row are one group."""
    images = folder / "images"
    images.mkdir(parents=True)
    labels, groups = [], []
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        dark, bright = bool(rng.random() < 0.4), bool(rng.random() < 0.4)
        name = f"stroke_{number:04d}.png"
        cv2.imwrite(str(images / name), _image(rng, dark=dark, bright=bright))
        labels.append((name, not (dark or bright), dark, bright))
        groups.append((name, f"part-{number // PER_GROUP}"))
    write_table(folder / "labels.csv", ("name", *LABELS), labels)
    write_table(folder / "groups.csv", ("name", "group"), groups)
    return folder


def write_table(path: Path, columns: tuple[str, ...], rows: Sequence[tuple[object, ...]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as lines:
        csv.writer(lines).writerows([columns, *rows])


def _image(rng: np.random.Generator, *, dark: bool, bright: bool) -> np.ndarray:
    image = rng.normal(128, 4, (32, 32, 3)).clip(0, 255).astype(np.uint8)
    for wanted, grey in ((dark, 20), (bright, 235)):
        if wanted:
            start, end = rng.integers(4, 28, 2), rng.integers(4, 28, 2)
            cv2.line(image, start.tolist(), end.tolist(), (grey, grey, grey), 4)
    return image

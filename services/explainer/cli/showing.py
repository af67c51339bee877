"""Draw images side by side: the camera's image, its heatmaps, and both merged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

import cv2
import numpy as np

from services.explainer.overlay import Layer, overlay
from shared.imaging.codec import Image
from shared.recipe import Colour

Row = Literal["image", "heatmap", "merged"]
ROWS: Final[tuple[Row, ...]] = get_args(Row)
GAP: Final = 6
CAPTION: Final = 22
"""Pixels below each column, for its labels."""
FONT: Final = cv2.FONT_HERSHEY_SIMPLEX
BACKGROUND: Final = 255


@dataclass(frozen=True)
class Exhibit:
    """An image with its heatmaps and its caption, each word (in ASCII) in the colour of its label."""

    image: Image
    heat: Sequence[Layer]
    words: Sequence[tuple[str, Colour]]


def draw_exhibits(exhibits: Sequence[Exhibit], rows: Sequence[Row], side: int) -> Image:
    """Draw exhibits side by side.

    Args:
        exhibits: from left to right.
        rows: what to show of each exhibit, from top to bottom.
        side: height of every image, in pixels.
    """
    columns = [_column(exhibit, rows, side) for exhibit in exhibits]
    return np.hstack(
        [cv2.copyMakeBorder(each, GAP, GAP, GAP, GAP, cv2.BORDER_CONSTANT, value=(BACKGROUND,) * 3) for each in columns]
    )


def _column(exhibit: Exhibit, rows: Sequence[Row], side: int) -> Image:
    gap = np.full((GAP, round(side * exhibit.image.shape[1] / exhibit.image.shape[0]), 3), BACKGROUND, np.uint8)
    parts = [part for row in rows for part in (gap, cv2.resize(_cell(exhibit, row), (gap.shape[1], side)))]
    strip = np.full((CAPTION, gap.shape[1], 3), BACKGROUND, np.uint8)
    at = 2
    for word, colour in exhibit.words:
        dark = tuple(int(part * 0.8) for part in reversed(colour))
        cv2.putText(strip, word, (at, CAPTION - 7), FONT, 0.45, dark, 1, cv2.LINE_AA)
        at += cv2.getTextSize(f"{word} ", FONT, 0.45, 1)[0][0]
    return np.vstack([*parts[1:], strip])


def _cell(exhibit: Exhibit, row: Row) -> Image:
    match row:
        case "image":
            return exhibit.image
        case "heatmap":
            return overlay(np.zeros_like(exhibit.image), exhibit.heat, strength=1.0)
        case "merged":
            return overlay(exhibit.image, exhibit.heat)

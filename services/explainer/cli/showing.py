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
class ExplainedImage:
    """An image with its heatmaps and its caption, each text (in ASCII) in the colour of its label."""

    image: Image
    heatmaps: Sequence[Layer]
    caption: Sequence[tuple[str, Colour]]


def draw_side_by_side(images: Sequence[ExplainedImage], rows: Sequence[Row], side: int) -> Image:
    """Draw explained images side by side.

    Args:
        images: from left to right.
        rows: what to show of each image, from top to bottom.
        side: height of every image, in pixels.
    """
    columns = []
    for each in images:
        drawings = {
            "image": each.image,
            "heatmap": overlay(np.zeros_like(each.image), each.heatmaps, strength=1.0),
            "merged": overlay(each.image, each.heatmaps),
        }
        width = round(side * each.image.shape[1] / each.image.shape[0])
        gap = np.full((GAP, width, 3), BACKGROUND, np.uint8)
        parts = [part for row in rows for part in (gap, cv2.resize(drawings[row], (width, side)))]
        caption = np.full((CAPTION, width, 3), BACKGROUND, np.uint8)
        left = 2
        for text, colour in each.caption:
            dark = tuple(int(part * 0.8) for part in reversed(colour))
            cv2.putText(caption, text, (left, CAPTION - 7), FONT, 0.45, dark, 1, cv2.LINE_AA)
            left += cv2.getTextSize(f"{text} ", FONT, 0.45, 1)[0][0]
        column = np.vstack([*parts[1:], caption])
        columns.append(cv2.copyMakeBorder(column, GAP, GAP, GAP, GAP, cv2.BORDER_CONSTANT, value=(BACKGROUND,) * 3))
    return np.hstack(columns)

"""Compute the truth of a frame: its labels, and the mask of each defect."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from samples.camera import View, mask_in_view
from samples.defect import KINDS_OF, DefectLabel
from samples.raster import Image
from samples.strip import DefectMask
from samples.swatch import Swatch

LABELS = ("good", "error", "break", "length")
SHARE_IN_VIEW = 1 / 2
"""A frame has a defect if at least this share of the defect's mask is in view."""
SHORT_STITCH_MM = 2.0
LONG_STITCH_MM = 4.0


@dataclass(frozen=True)
class Truth:
    """The truth of one frame.

    A label of a defect is true if at least half of the mask of one such defect is in view. With less of it in view, the
    frame is good, and there is no mask for that label. `good` means neither `error` nor `break`; `length` is true for
    2 mm stitches and false for 4 mm ones.
    """

    labels: dict[str, bool]
    """The values of the labels by name, in the order of `LABELS`."""
    masks: dict[DefectLabel, Image]
    """0 or 255, (H, W), for each label of a defect that is true."""
    part: int
    swatch: Swatch

    @property
    def cloth(self) -> str:
        """Return kind and colour of the cloth."""
        return self.swatch.cloth.name

    @property
    def thread(self) -> str:
        """Return the colour of the thread."""
        return self.swatch.thread.colour_name


class Frame(NamedTuple):
    """An image, uint8 BGR (H, W, 3), and its truth."""

    image: Image
    truth: Truth


def judge(view: View, defects: Sequence[DefectMask], stitch_length_mm: float, part: int, swatch: Swatch) -> Truth:
    """Return the truth of a view of a piece."""
    masks: dict[DefectLabel, Image] = {}
    for label in KINDS_OF:
        seen = [(defect, mask_in_view(view, defect)) for defect in defects if defect.label == label]
        sizes = [(cv2.countNonZero(mask), cv2.countNonZero(defect.mask)) for defect, mask in seen]
        if any(visible >= SHARE_IN_VIEW * whole for visible, whole in sizes):
            masks[label] = np.bitwise_or.reduce([mask for _, mask in seen])
    labels = {
        "good": not masks,
        "error": "error" in masks,
        "break": "break" in masks,
        "length": stitch_length_mm == SHORT_STITCH_MM,
    }
    return Truth(labels, masks, part, swatch)

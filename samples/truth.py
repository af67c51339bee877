"""What is true of a frame: its labels, and where each defect lies."""

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
"""A frame has a defect once this share of the defect's mask lies in view."""
SHORT_STITCH_MM = 2.0
LONG_STITCH_MM = 4.0


@dataclass(frozen=True)
class Truth:
    """The truth of one frame.

    A label of a defect is true when at least half of the mask of one such defect lies in view; a sliver at the edge
    of the image leaves the frame good, and then there is no mask for that label. `good` is neither `error` nor
    `break`; `length` is true for 2 mm stitches and false for 4 mm ones.
    """

    labels: dict[str, bool]
    """By each of `LABELS`, in their order."""
    masks: dict[DefectLabel, Image]
    """0 or 255, (H, W), for each label of a defect that is true."""
    part: int
    swatch: Swatch

    @property
    def cloth(self) -> str:
        """Kind and colour of the cloth."""
        return self.swatch.cloth.name

    @property
    def thread(self) -> str:
        """Colour of the thread."""
        return self.swatch.thread.colour_name


class Frame(NamedTuple):
    """An image, uint8 BGR (H, W, 3), and its truth."""

    image: Image
    truth: Truth


def judge(view: View, defects: Sequence[DefectMask], stitch_mm: float, part: int, swatch: Swatch) -> Truth:
    """The truth of what the camera sees of a piece."""
    masks: dict[DefectLabel, Image] = {}
    for label in KINDS_OF:
        seen = [(defect, mask_in_view(view, defect)) for defect in defects if defect.label == label]
        if any(_counts(defect, mask) for defect, mask in seen):
            masks[label] = np.bitwise_or.reduce([mask for _, mask in seen])
    labels = {
        "good": not masks,
        "error": "error" in masks,
        "break": "break" in masks,
        "length": stitch_mm == SHORT_STITCH_MM,
    }
    return Truth(labels, masks, part, swatch)


def _counts(defect: DefectMask, mask: Image) -> bool:
    """Whether enough of a defect lies in view to call the frame defective."""
    return cv2.countNonZero(mask) >= SHARE_IN_VIEW * cv2.countNonZero(defect.mask)

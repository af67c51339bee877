"""Draw a contact sheet: good seams on top, every kind of defect below."""

import cv2
import numpy as np

from samples.defect import DEFECT_KINDS, DefectKind, DefectLabel
from samples.raster import Image
from samples.still import Stitch, draw_seam
from samples.swatch import swatch

COLUMNS = 7


def draw_row(seed: int, size: int) -> dict[str, Image]:
    """Return one image of each label of a seam, by name; uint8 BGR (size, size, 3)."""
    shown: dict[str, tuple[tuple[DefectLabel, ...], Stitch]] = {
        "error": (("error",), "4mm"),
        "break": (("break",), "4mm"),
        "error-and-break": (("error", "break"), "4mm"),
        "length": ((), "2mm"),
    }
    return {
        name: draw_seam(seed + i, defects=defects, stitch=stitch, size=size).image
        for i, (name, (defects, stitch)) in enumerate(shown.items())
    }


def draw_sheet(seed: int, size: int) -> Image:
    """Return four rows of seven images, uint8 BGR: two rows of good seams, then each kind of defect twice."""
    kinds: list[tuple[DefectKind, ...]] = [*[()] * 2 * COLUMNS, *[(kind,) for kind in DEFECT_KINDS] * 2]
    images = [
        draw_seam(seed + i, cloth=swatch(seed + i), defects=kind, stitch="2mm" if i % 2 else "4mm", size=size).image
        for i, kind in enumerate(kinds)
    ]
    framed = [cv2.copyMakeBorder(p, 2, 2, 2, 2, cv2.BORDER_CONSTANT, value=(255, 255, 255)) for p in images]
    rows = [np.hstack(framed[i : i + COLUMNS]) for i in range(0, len(framed), COLUMNS)]
    return np.vstack(rows)

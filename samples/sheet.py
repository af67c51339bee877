"""Draw a contact sheet: good seams on top, every kind of defect below."""

import cv2
import numpy as np

from samples.defect import DEFECT_KINDS, THREAD_DEFECTS, DefectKind, DefectLabel
from samples.raster import Image
from samples.still import Stitch, draw_seam
from samples.swatch import swatch


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


def draw_sheet(seed: int, size: int, varied: bool = False) -> Image:
    """Return four rows of images, uint8 BGR: two rows of good seams, then each kind of defect twice.

    There are seven kinds of thread, and three of cloth in varied images.
    """
    defects: tuple[DefectKind, ...] = DEFECT_KINDS if varied else THREAD_DEFECTS
    columns = len(defects)
    kinds: list[tuple[DefectKind, ...]] = [*[()] * 2 * columns, *[(kind,) for kind in defects] * 2]
    images = [
        draw_seam(
            seed + i,
            cloth=swatch(seed + i),
            defects=kind,
            stitch="2mm" if i % 2 else "4mm",
            size=size,
            varied=varied,
        ).image
        for i, kind in enumerate(kinds)
    ]
    framed = [cv2.copyMakeBorder(p, 2, 2, 2, 2, cv2.BORDER_CONSTANT, value=(255, 255, 255)) for p in images]
    rows = [np.hstack(framed[i : i + columns]) for i in range(0, len(framed), columns)]
    return np.vstack(rows)

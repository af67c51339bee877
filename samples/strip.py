"""Draw a strip of sewn cloth that passes under the camera, with the masks of its defects."""

from dataclasses import dataclass

import cv2
import numpy as np

from samples.cloth import draw_cloth
from samples.defect import Damage, DefectKind, DefectLabel, PlannedDefect, label_of
from samples.litter import scatter
from samples.raster import Array, Image, Raster
from samples.relief import light_on_relief
from samples.seam import Seam, sew
from samples.swatch import Swatch
from samples.thread import Thread, lay

FINENESS = 2
"""The strip is drawn this many times finer than its result, so that no yarn or thread has a jagged edge."""
AROUND_DEFECT_MM = 0.5
"""A mask reaches this far around thread that is misplaced or missing."""


@dataclass(frozen=True)
class Piece:
    """One sewn piece, before it is drawn."""

    swatch: Swatch
    stitch_mm: float
    """2 or 4."""
    length_mm: float
    height_mm: float
    seam_mm: float
    """How far below the upper edge the seam runs."""
    defects: tuple[PlannedDefect, ...] = ()


@dataclass(frozen=True)
class DefectMask:
    """The position of one defect on its strip."""

    kind: DefectKind
    left: int
    top: int
    mask: Image
    """0 or 255, of the bounding box, whose upper left pixel is at (`left`, `top`) of the strip."""

    @property
    def label(self) -> DefectLabel:
        """Return the label that is true if this is in view."""
        return label_of(self.kind)


@dataclass(frozen=True)
class Strip:
    """A drawn piece: `image` uint8 BGR (H, W, 3)."""

    image: Image
    pixels_per_mm: float
    defects: tuple[DefectMask, ...]


def draw_strip(piece: Piece, pixels_per_mm: float, rng: np.random.Generator) -> Strip:
    """Sew a piece and draw it."""
    raster = Raster(piece.length_mm, piece.height_mm, pixels_per_mm * FINENESS)
    seam = sew(
        style=piece.swatch.style,
        stitch_mm=piece.stitch_mm,
        length_mm=piece.length_mm,
        middle_mm=piece.seam_mm,
        planned=piece.defects,
        rng=rng,
    )
    colours = draw_cloth(piece.swatch.cloth, raster, _grain_angle(piece.swatch, rng), rng)
    colours *= light_on_relief(raster, seam, rng)[..., None]
    colours *= _needle_holes(raster, seam, piece.swatch.thread, piece.swatch.style.bite)[..., None]
    scatter(colours, raster, rng)
    _lay_seam(colours, raster, piece.swatch.thread, seam, rng)
    kept = Raster(piece.length_mm, piece.height_mm, pixels_per_mm)
    masks = [_defect_mask(damage, piece.swatch.thread, kept) for damage in seam.damages]
    return Strip(_shrunk(colours, kept), pixels_per_mm, tuple(mask for mask in masks if mask is not None))


def _shrunk(colours: Array, kept: Raster) -> Image:
    """Return the finely drawn strip at its final size, uint8 BGR."""
    rows, columns = kept.shape
    return np.clip(cv2.resize(colours, (columns, rows), interpolation=cv2.INTER_AREA), 0, 255).astype(np.uint8)


def _grain_angle(swatch: Swatch, rng: np.random.Generator) -> float:
    """Return the angle in radians between the cut and the grain: denim on the bias, fine cloth nearly straight."""
    return float(rng.normal(0, 0.3 if swatch.cloth.kind == "denim" else 0.05))


def _needle_holes(raster: Raster, seam: Seam, thread: Thread, bite: float) -> Array:
    """Return the brightness from the needle's holes, (H, W), 0..1."""
    dots = np.zeros(raster.shape, dtype=np.float32)
    for x, y in seam.holes * raster.pixels_per_mm:
        centre = (round(float(x) * 16), round(float(y) * 16))
        cv2.circle(dots, centre, round(0.32 * thread.width_mm * raster.pixels_per_mm * 16), 1.0, -1, cv2.LINE_AA, 4)
    return 1 - np.float32(bite) * np.clip(raster.blur(dots, 0.12), 0, 1)


def _lay_seam(colours: Array, raster: Raster, thread: Thread, seam: Seam, rng: np.random.Generator) -> None:
    """Draw the sewn stitches, and the damages over them."""
    covering = np.clip(0.75 + raster.noise(rng, 1.0, 0.5), 0, 1)
    buried = 1 - np.float32(thread.sink) * covering
    lay(colours, raster, thread, seam.stitches, buried)
    for damage in seam.damages:
        if damage.kind != "crooked":
            lay(colours, raster, thread, damage.paths, np.maximum(buried, 0.75))


def _defect_mask(damage: Damage, thread: Thread, raster: Raster) -> DefectMask | None:
    """Return the mask of a damage; None if nothing of it is on the strip."""
    canvas = np.zeros(raster.shape, dtype=np.uint8)
    lines = [path.points for path in damage.paths] + ([damage.gap] if damage.gap is not None else [])
    width = max(1, round((thread.width_mm + 2 * AROUND_DEFECT_MM) * raster.pixels_per_mm))
    for line in lines:
        points = (line * raster.pixels_per_mm * 16).round().astype(np.int32).reshape(-1, 1, 2)
        if damage.filled:
            cv2.fillPoly(canvas, [points], 255, shift=4)
        cv2.polylines(canvas, [points], isClosed=False, color=255, thickness=width, shift=4)
    left, top, columns, rows = cv2.boundingRect(canvas)
    if columns == 0 or rows == 0:
        return None
    return DefectMask(damage.kind, left, top, canvas[top : top + rows, left : left + columns].copy())

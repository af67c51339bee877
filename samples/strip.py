"""Draw a strip of sewn cloth that passes under the camera, with the masks of its defects."""

from dataclasses import dataclass

import cv2
import numpy as np

from samples.cloth import draw_cloth
from samples.damage import SewnCloth, damage
from samples.defect import CLOTH_DEFECTS, DefectKind, DefectLabel, PlannedDefect, SewnDefect, label_of
from samples.litter import scatter
from samples.raster import Array, Image, Raster
from samples.relief import light_on_relief
from samples.seam import Seam, sew
from samples.swatch import Swatch
from samples.thread import Thread, draw_paths

SUPERSAMPLING = 2
"""The strip is drawn at this many times its final resolution, so that no yarn or thread has a jagged edge."""
FIXED_POINT_BITS = 4
"""Fractional bits of the coordinates that OpenCV draws at."""
FIXED_POINT = 1 << FIXED_POINT_BITS
AROUND_DEFECT_MM = 0.5
"""A mask reaches this far around thread that is misplaced or missing."""


@dataclass(frozen=True)
class Piece:
    """The plan of a strip: one sewn piece, before it is drawn."""

    swatch: Swatch
    stitch_length_mm: float
    """2 or 4."""
    length_mm: float
    height_mm: float
    seam_y_mm: float
    """How far below the upper edge the seam runs."""
    defects: tuple[PlannedDefect, ...] = ()


@dataclass(frozen=True)
class DefectMask:
    """The mask of one defect, cropped to its bounding box, and the position of that box on the strip."""

    kind: DefectKind
    left: int
    top: int
    mask: Image
    """uint8, 0 or 255; its upper left pixel is at (`left`, `top`) of the strip."""

    @property
    def label(self) -> DefectLabel:
        """Return the label of an image that shows the defect."""
        return label_of(self.kind)


@dataclass(frozen=True)
class Strip:
    """A drawn piece; `image` is uint8 BGR, (H, W, 3)."""

    image: Image
    pixels_per_mm: float
    defects: tuple[DefectMask, ...]


def draw_strip(piece: Piece, pixels_per_mm: float, rng: np.random.Generator) -> Strip:
    """Sew a piece and draw it."""
    raster = Raster(piece.length_mm, piece.height_mm, pixels_per_mm * SUPERSAMPLING)
    seam = sew(
        style=piece.swatch.style,
        stitch_length_mm=piece.stitch_length_mm,
        length_mm=piece.length_mm,
        middle_mm=piece.seam_y_mm,
        planned=piece.defects,
        rng=rng,
    )
    canvas = draw_cloth(piece.swatch.cloth, raster, _grain_angle(piece.swatch, rng), rng)
    canvas *= light_on_relief(raster, seam, rng)[..., None]
    canvas *= _hole_shading(raster, seam, piece.swatch.thread, piece.swatch.style.hole_darkness)[..., None]
    scatter(canvas, raster, rng)
    _draw_thread(canvas, raster, piece.swatch.thread, seam, rng)
    final_raster = Raster(piece.length_mm, piece.height_mm, pixels_per_mm)
    masks = [_defect_mask(defect, piece.swatch.thread, final_raster) for defect in seam.defects]
    image = _downscale(canvas, final_raster)
    for defect in piece.defects:
        if defect.kind in CLOTH_DEFECTS:
            damaged = damage(defect.kind, SewnCloth(image, final_raster, seam.holes), defect.at_mm, rng)
            image = damaged.image
            masks.append(_cropped(defect.kind, damaged.mask))
    return Strip(image, pixels_per_mm, tuple(mask for mask in masks if mask is not None))


def _downscale(canvas: Array, final_raster: Raster) -> Image:
    """Return the finely drawn strip at its final size, uint8 BGR."""
    rows, columns = final_raster.shape
    return np.clip(cv2.resize(canvas, (columns, rows), interpolation=cv2.INTER_AREA), 0, 255).astype(np.uint8)


def _grain_angle(swatch: Swatch, rng: np.random.Generator) -> float:
    """Return the angle in radians between the cut and the grain: denim on the bias, fine cloth nearly straight."""
    return float(rng.normal(0, 0.3 if swatch.cloth.kind == "denim" else 0.05))


def _hole_shading(raster: Raster, seam: Seam, thread: Thread, darkness: float) -> Array:
    """Return the factor by which the needle holes darken each pixel, (H, W), 0..1."""
    dots = np.zeros(raster.shape, dtype=np.float32)
    for x, y in seam.holes * raster.pixels_per_mm:
        centre = (round(float(x) * FIXED_POINT), round(float(y) * FIXED_POINT))
        radius = round(0.32 * thread.width_mm * raster.pixels_per_mm * FIXED_POINT)
        cv2.circle(dots, centre, radius, 1.0, cv2.FILLED, cv2.LINE_AA, FIXED_POINT_BITS)
    return 1 - np.float32(darkness) * np.clip(raster.blur(dots, 0.12), 0, 1)


def _draw_thread(canvas: Array, raster: Raster, thread: Thread, seam: Seam, rng: np.random.Generator) -> None:
    """Draw the sewn stitches, and the defects over them."""
    pile_cover = np.clip(0.75 + raster.noise(rng, 1.0, 0.5), 0, 1)
    visible_share = 1 - np.float32(thread.sink) * pile_cover
    draw_paths(canvas, raster, thread, seam.stitches, visible_share)
    for defect in seam.defects:
        if defect.kind != "crooked":  # crooked stitches are among `seam.stitches`
            draw_paths(canvas, raster, thread, defect.paths, np.maximum(visible_share, 0.75))


def _defect_mask(defect: SewnDefect, thread: Thread, raster: Raster) -> DefectMask | None:
    """Return the mask of a defect; None if no part of the defect is on the strip."""
    canvas = np.zeros(raster.shape, dtype=np.uint8)
    lines = [path.points for path in defect.paths]
    if defect.gap is not None:
        lines.append(defect.gap)
    width = max(1, round((thread.width_mm + 2 * AROUND_DEFECT_MM) * raster.pixels_per_mm))
    for line in lines:
        points = (line * raster.pixels_per_mm * FIXED_POINT).round().astype(np.int32).reshape(-1, 1, 2)
        if defect.is_filled:
            cv2.fillPoly(canvas, [points], 255, shift=FIXED_POINT_BITS)
        cv2.polylines(canvas, [points], isClosed=False, color=255, thickness=width, shift=FIXED_POINT_BITS)
    return _cropped(defect.kind, canvas)


def _cropped(kind: DefectKind, mask: Image) -> DefectMask | None:
    """Return the mask of a defect without the empty strip around it; None if it is empty."""
    left, top, columns, rows = cv2.boundingRect(mask)
    if columns == 0 or rows == 0:
        return None
    return DefectMask(kind, left, top, mask[top : top + rows, left : left + columns].copy())

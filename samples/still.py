"""Draw single images of a seam with given defects."""

from collections.abc import Collection
from dataclasses import replace
from itertools import count
from typing import Literal, TypeAlias, get_args

import numpy as np

from samples.camera import FIELD_OF_VIEW_MM, Camera
from samples.choices import one_of
from samples.defect import KINDS_OF, VARIED_KINDS_OF, DefectKind, DefectLabel, PlannedDefect, label_of
from samples.photograph import photograph, tilt
from samples.strip import Piece, draw_strip
from samples.swatch import Swatch, swatch, vary_swatch
from samples.truth import LONG_STITCH_MM, SHORT_STITCH_MM, Frame, judge

Stitch: TypeAlias = Literal["2mm", "4mm"]
STITCHES: tuple[Stitch, ...] = get_args(Stitch)
STITCH_MM: dict[Stitch, float] = {"2mm": SHORT_STITCH_MM, "4mm": LONG_STITCH_MM}
MARGIN_MM = 3.0
"""Cloth beyond the view on every side, for the shake and the tilt of the camera."""
ZOOM = (0.88, 1.12)
"""Cameras are not mounted equally high: stitches look up to an eighth shorter or longer."""
VARIED_ZOOM = (0.75, 1.4)
"""The zoom of varied images, in which 4 mm stitches still look longer than 2 mm ones ever do."""
SEAM_AT = (0.4, 0.6)
"""Where the seam runs, as a share of the height of its piece."""
VARIED_SEAM_AT = (0.28, 0.72)


def draw_seam(
    seed: int,
    *,
    cloth: Swatch | None = None,
    defects: Collection[DefectLabel | DefectKind] = (),
    stitch: Stitch = "4mm",
    size: int = 224,
    varied: bool = False,
) -> Frame:
    """Return an image of a seam, `size` x `size`, with the given defects; no other labels are true.

    A label stands for any of its kinds: `{"break"}` draws a `cut` or a `loose-end`. The same arguments give the same
    image. Without `cloth`, it is the swatch with the number of the seed. A varied image looks as another camera would
    photograph it, and there a label also stands for the defects of the cloth.
    """
    sewn = cloth or swatch(seed)
    labels = {label_of(defect) for defect in defects}
    rngs = (np.random.default_rng([seed, attempt]) for attempt in count())
    attempts = (
        _draw_attempt(sewn=sewn, stitch_length_mm=STITCH_MM[stitch], defects=defects, size=size, varied=varied, rng=rng)
        for rng in rngs
    )
    return next(frame for frame in attempts if set(frame.truth.masks) == labels)


def cut_piece(
    sewn: Swatch,
    stitch_length_mm: float,
    view_mm: float,
    travel_mm: float,
    rng: np.random.Generator,
    *,
    seam_at: tuple[float, float] = SEAM_AT,
) -> Piece:
    """Return a piece, without defects yet, along which a view of `view_mm` can travel `travel_mm`."""
    height = view_mm + 2 * MARGIN_MM
    return Piece(sewn, stitch_length_mm, travel_mm + height, height, seam_y_mm=height * rng.uniform(*seam_at))


def _kind(defect: DefectLabel | DefectKind, varied: bool, rng: np.random.Generator) -> DefectKind:
    match defect:
        case "error" | "break":
            return one_of(rng, (VARIED_KINDS_OF if varied else KINDS_OF)[defect])
        case kind:
            return kind


def _draw_attempt(
    *,
    sewn: Swatch,
    stitch_length_mm: float,
    defects: Collection[DefectLabel | DefectKind],
    size: int,
    varied: bool,
    rng: np.random.Generator,
) -> Frame:
    """Return one attempt, in which a defect may be out of view or missing for lack of room."""
    kinds = [_kind(defect, varied, rng) for defect in sorted(defects)]
    sewn = vary_swatch(sewn, rng) if varied else sewn
    zoom = rng.uniform(*(VARIED_ZOOM if varied else ZOOM))
    view_mm = FIELD_OF_VIEW_MM / zoom
    blank = cut_piece(sewn, stitch_length_mm, view_mm, 0.0, rng, seam_at=VARIED_SEAM_AT if varied else SEAM_AT)
    planned = tuple(PlannedDefect(kind, at) for kind, at in zip(kinds, _places(len(kinds), view_mm, rng), strict=True))
    piece = replace(blank, defects=planned)
    strip = draw_strip(piece, size / view_mm, rng)
    camera = Camera(size, rng, tilt(rng) if varied else 0.0)
    view = camera.look(strip, piece.length_mm / 2, piece.height_mm / 2, rng)
    image = camera.shoot(strip, view, rng.exponential(0.1), rng)
    image = photograph(image, rng) if varied else image
    return Frame(image, judge(view, strip.defects, stitch_length_mm, 0, sewn))


def _places(number: int, view_mm: float, rng: np.random.Generator) -> list[float]:
    """Return where defects begin on the strip, in random order, each in its own share of the view."""
    share = (view_mm - 4) / max(1, number)
    places = [MARGIN_MM + i * share + rng.uniform(0, 0.75) * share for i in range(number)]
    return [places[int(i)] for i in rng.permutation(number)]

"""Sew a seam: needle holes along a wandering line, and the thread between them, good or damaged."""

from collections.abc import Sequence, Set
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from samples.defect import DEFECTS, MOST_STITCHES, Bend, PlannedDefect, SewnDefect, make_bend
from samples.raster import Array
from samples.thread import ThreadPath

SMALLEST_GAP_MM = 0.3
"""Smallest visible gap between two stitches: with a smaller gap, they would look like one stitch."""
HOOK_TURN_SHARE = 0.72
"""Position along a hooked stitch, as a share of the stitch's length, at which the stitch turns back."""
MARGIN_STITCHES = 6
"""Number of needle holes beyond the two ends of a strip."""
LEFT_MARGIN_STITCHES = 2
"""Number of these needle holes on the left, at least."""
STITCH_POINTS = 13
"""Number of points of a stitch's path."""


@dataclass(frozen=True)
class StitchStyle:
    """How a machine lays its stitches: the same for a whole piece."""

    length_share: float
    """Stitch length as a share of the distance between two holes, 0.6..1."""
    slant_mm: float
    """How much higher a stitch ends than it begins (towards the upper edge of the strip), -0.6..0.6.

    Slanted stitches have the saw-tooth look of a lockstitch.
    """
    hook: float
    """0: straight slanted stitches; 1: each stitch turns back, so that the seam looks like one wavy line."""
    bow_mm: float
    """Distance of the stitch's middle from the straight line, -0.2..0.2."""
    hole_darkness: float
    """How dark the needle holes are, 0..1."""
    end_deviation_mm: float
    """Standard deviation of the height of each stitch end, 0..0.1."""
    line_amplitude_mm: float
    """How far the line of the needle holes swings over a piece, 0..2."""


@dataclass(frozen=True)
class Seam:
    """A sewn seam, in mm from the upper left corner of its strip."""

    holes: Array
    """(n, 2)"""
    stitches: tuple[ThreadPath, ...]
    """The good stitches, and the crooked ones."""
    defects: tuple[SewnDefect, ...]


def sew(
    *,
    style: StitchStyle,
    stitch_length_mm: float,
    length_mm: float,
    middle_mm: float,
    planned: Sequence[PlannedDefect],
    rng: np.random.Generator,
) -> Seam:
    """Sew from end to end of a strip `length_mm` long, along y = `middle_mm`, with the planned defects in it."""
    xs = _hole_positions(stitch_length_mm, length_mm, rng)
    ys = middle_mm + _line_offset(xs, style.line_amplitude_mm, rng)
    bends = [make_bend(xs, defect.at_mm, rng) for defect in planned if defect.kind == "crooked"]
    holes = np.stack([xs, ys + np.sum([bend.offset_mm for bend in bends], axis=0)], axis=1).astype(np.float32)
    stitches = {i: _stitch(holes[i], holes[i + 1], style, rng) for i in range(len(holes) - 1)}
    defects = [_crooked_run(stitches, bend) for bend in bends]
    crooked = {int(i) for bend in bends for i in np.flatnonzero(bend.is_crooked)}
    for defect in planned:
        if defect.kind in DEFECTS:
            defects += _sew_defect(stitches, crooked, holes, defect, rng)
    return Seam(holes, tuple(stitches.values()), tuple(defects))


def _hole_positions(stitch_length_mm: float, length_mm: float, rng: np.random.Generator) -> Array:
    """Return the x of each needle hole, (n,), from a little before to a little behind the strip."""
    count = int(length_mm / stitch_length_mm) + MARGIN_STITCHES
    steps = stitch_length_mm * (1 + rng.normal(0, 0.025, count))
    return (np.cumsum(steps) - stitch_length_mm * (LEFT_MARGIN_STITCHES + rng.random())).astype(np.float32)


def _line_offset(xs: Array, amplitude_mm: float, rng: np.random.Generator) -> Array:
    """Return the slow swing of the line, (n,) in mm around 0."""
    waves = [(rng.uniform(70, 220), 0.75), (rng.uniform(25, 60), 0.2)]
    swings = [share * amplitude_mm * np.sin(2 * np.pi * (xs / wave + rng.random())) for wave, share in waves]
    return np.asarray(np.sum(swings, axis=0), dtype=np.float32)


def _stitch(start: Array, end: Array, style: StitchStyle, rng: np.random.Generator) -> ThreadPath:
    """Return a good stitch from hole to hole."""
    gap_share = max(1 - style.length_share, SMALLEST_GAP_MM / float(end[0] - start[0]))
    # the vector of the gap at each end, about half of the whole gap
    end_gap = gap_share * (0.5 + rng.normal(0, 0.12)) * (end - start)
    end_offsets = rng.normal(0, style.end_deviation_mm, 2)
    share = np.linspace(0, 1, STITCH_POINTS)
    points = (start + end_gap) + share[:, None] * (end - start - 2 * end_gap)
    points[:, 1] += style.slant_mm * _slant(share, style.hook) + style.bow_mm * 4 * share * (1 - share)
    points[:, 1] += end_offsets[0] + share * (end_offsets[1] - end_offsets[0])
    return ThreadPath(points.astype(np.float32), lift_mm=0.05, tone=1 + rng.normal(0, 0.05))


def _slant(share: npt.NDArray[np.float64], hook: float) -> npt.NDArray[np.float64]:
    """Return the y offset of a slanted stitch at each share of its length, both (n,).

    A straight stitch goes from 0.5 to -0.5; a hooked one turns back at `HOOK_TURN_SHARE`.
    """
    straight = 0.5 - share
    hooked = 0.5 * np.where(
        share < HOOK_TURN_SHARE,
        np.cos(np.pi * share / HOOK_TURN_SHARE),
        -np.cos(np.pi * (share - HOOK_TURN_SHARE) / (1 - HOOK_TURN_SHARE)),
    )
    return straight + hook * (hooked - straight)


def _crooked_run(stitches: dict[int, ThreadPath], bend: Bend) -> SewnDefect:
    """Return the crooked stitches of a bend as one defect."""
    return SewnDefect("crooked", 0, tuple(stitches[int(i)] for i in np.flatnonzero(bend.is_crooked)))


def _sew_defect(
    stitches: dict[int, ThreadPath], crooked: Set[int], holes: Array, defect: PlannedDefect, rng: np.random.Generator
) -> list[SewnDefect]:
    """Replace good stitches by a defect, at its planned position or at the next free one to the right.

    Return an empty list if there is no free position. Crooked stitches are not replaced, or the mask of the crooked run
    would cover stitches that are no longer drawn.
    """
    first = int(np.searchsorted(holes[:, 0], defect.at_mm))
    for begin in range(first, len(holes) - MOST_STITCHES):
        sewn = DEFECTS[defect.kind](holes[begin:], rng)
        replaced = range(begin, begin + sewn.stitches)
        if all(i in stitches and i not in crooked for i in replaced):
            for i in replaced:
                del stitches[i]
            return [sewn]
    return []

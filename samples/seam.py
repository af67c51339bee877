"""Sew a seam: needle holes along a wandering line, and the thread between them, good or damaged."""

from collections.abc import Sequence, Set
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from samples.defect import DEFECTS, MOST_STITCHES, Bend, Damage, PlannedDefect, bend
from samples.raster import Array
from samples.thread import Path

LEAST_BARE_MM = 0.3
"""Smallest gap between two stitches, without which their length would not be visible."""
TURN = 0.72
"""Share of its length at which a hooked stitch turns back."""


@dataclass(frozen=True)
class StitchStyle:
    """How a machine lays its stitches: the same for a whole piece."""

    cover: float
    """Share of the distance between holes over which thread lies on top, 0.6..1."""
    lean_mm: float
    """How much higher a stitch ends than it begins: the saw-tooth look of a lockstitch, -0.6..0.6."""
    hook: float
    """How far a stitch turns back, 0..1: from slanted strokes to one wavy line."""
    bow_mm: float
    """Distance of its middle from the straight line, -0.2..0.2."""
    bite: float
    """How dark its needle holes are, 0..1."""
    uneven_mm: float
    """Deviation of each end of a good stitch, 0..0.1."""
    wander_mm: float
    """How far the line itself swings over a piece, 0..2."""


@dataclass(frozen=True)
class Seam:
    """A sewn seam, in mm from the upper left corner of its strip."""

    holes: Array
    """(n, 2)"""
    stitches: tuple[Path, ...]
    damages: tuple[Damage, ...]


def sew(
    *,
    style: StitchStyle,
    stitch_mm: float,
    length_mm: float,
    middle_mm: float,
    planned: Sequence[PlannedDefect],
    rng: np.random.Generator,
) -> Seam:
    """Sew from end to end of a strip `length_mm` long, along y = `middle_mm`, with the planned defects in it."""
    xs = _hole_positions(stitch_mm, length_mm, rng)
    ys = middle_mm + _wander(xs, style.wander_mm, rng)
    bends = [bend(xs, defect.at_mm, rng) for defect in planned if defect.kind == "crooked"]
    holes = np.stack([xs, ys + np.sum([bent.offset_mm for bent in bends], axis=0)], axis=1).astype(np.float32)
    stitches = {i: _stitch(holes[i], holes[i + 1], style, rng) for i in range(len(holes) - 1)}
    damages = [_crooked_run(stitches, bent) for bent in bends]
    crooked = {int(i) for bent in bends for i in np.flatnonzero(bent.crooked)}
    for defect in planned:
        if defect.kind != "crooked":
            damages += _damage(stitches, crooked, holes, defect, rng)
    return Seam(holes, tuple(stitches.values()), tuple(damages))


def _hole_positions(stitch_mm: float, length_mm: float, rng: np.random.Generator) -> Array:
    """Return the x of each needle hole, (n,), a little beyond both ends of the strip."""
    count = int(length_mm / stitch_mm) + 6
    steps = stitch_mm * (1 + rng.normal(0, 0.025, count))
    return (np.cumsum(steps) - stitch_mm * (2 + rng.random())).astype(np.float32)


def _wander(xs: Array, swing_mm: float, rng: np.random.Generator) -> Array:
    """Return the slow swing of the line, (n,) in mm around 0."""
    waves = [(rng.uniform(70, 220), 0.75), (rng.uniform(25, 60), 0.2)]
    swings = [share * swing_mm * np.sin(2 * np.pi * (xs / wave + rng.random())) for wave, share in waves]
    return np.asarray(np.sum(swings, axis=0), dtype=np.float32)


def _stitch(start: Array, end: Array, style: StitchStyle, rng: np.random.Generator) -> Path:
    """Return a good stitch from hole to hole."""
    bare = max(1 - style.cover, LEAST_BARE_MM / float(end[0] - start[0])) * (0.5 + rng.normal(0, 0.12)) * (end - start)
    ends = rng.normal(0, style.uneven_mm, 2)
    share = np.linspace(0, 1, 13)
    points = (start + bare) + share[:, None] * (end - start - 2 * bare)
    points[:, 1] += style.lean_mm * _lean(share, style.hook) + style.bow_mm * 4 * share * (1 - share)
    points[:, 1] += ends[0] + share * (ends[1] - ends[0])
    return Path(points.astype(np.float32), lift_mm=0.05, tone=1 + rng.normal(0, 0.05))


def _lean(share: npt.NDArray[np.float64], hook: float) -> npt.NDArray[np.float64]:
    """Return the height of a leaning stitch at each share along it, both (n,): from 0.5 to -0.5, or there and back."""
    there = 0.5 - share
    and_back = 0.5 * np.where(share < TURN, np.cos(np.pi * share / TURN), -np.cos(np.pi * (share - TURN) / (1 - TURN)))
    return there + hook * (and_back - there)


def _crooked_run(stitches: dict[int, Path], bent: Bend) -> Damage:
    """Return the stitches between holes that are out of line."""
    moved = [stitches[int(i)] for i in np.flatnonzero(bent.crooked)]
    return Damage("crooked", 0, tuple(moved))


def _damage(
    stitches: dict[int, Path], crooked: Set[int], holes: Array, defect: PlannedDefect, rng: np.random.Generator
) -> list[Damage]:
    """Replace good stitches by a defect, where it was planned or at the next free place behind.

    Crooked stitches are not replaced: their own defect would then be labelled where it is not visible.
    """
    first = int(np.searchsorted(holes[:, 0], defect.at_mm))
    for begin in range(first, len(holes) - MOST_STITCHES):
        damage = DEFECTS[defect.kind](holes[begin:], rng)
        touched = range(begin, begin + damage.stitches)
        if all(i in stitches and i not in crooked for i in touched):
            for i in touched:
                del stitches[i]
            return [damage]
    return []

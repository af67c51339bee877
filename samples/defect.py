"""Sew the defects of a seam: each kind is thread that is misplaced or missing; `damage.py` draws those of the cloth.

Lint, chalk, folds, puckering, slubs in the cloth, needle holes, and the small natural unevenness of good stitches are
harmless, and never a defect.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from samples.choices import chance, one_of, side
from samples.raster import Array, vector
from samples.thread import ThreadPath, bezier

DefectLabel: TypeAlias = Literal["error", "break"]
ThreadDefectKind: TypeAlias = Literal["loop", "slack", "skip", "bunch", "crooked", "cut", "loose-end"]
THREAD_DEFECTS: tuple[ThreadDefectKind, ...] = get_args(ThreadDefectKind)
ClothDefectKind: TypeAlias = Literal["stain", "pinch", "pucker"]
CLOTH_DEFECTS: tuple[ClothDefectKind, ...] = get_args(ClothDefectKind)
DefectKind: TypeAlias = ThreadDefectKind | ClothDefectKind
DEFECT_KINDS: tuple[DefectKind, ...] = (*THREAD_DEFECTS, *CLOTH_DEFECTS)
KINDS_OF: dict[DefectLabel, tuple[ThreadDefectKind, ...]] = {
    "error": ("loop", "slack", "skip", "bunch", "crooked"),
    "break": ("cut", "loose-end"),
}
"""The kinds of thread that a label stands for."""
VARIED_KINDS_OF: dict[DefectLabel, tuple[DefectKind, ...]] = {
    "error": (*KINDS_OF["error"], *CLOTH_DEFECTS),
    "break": KINDS_OF["break"],
}
"""The kinds that a label stands for in a varied image."""


def label_of(defect: DefectKind | DefectLabel) -> DefectLabel:
    """Return the label of a kind of defect; a label is returned as it is."""
    return "break" if defect in ("break", *KINDS_OF["break"]) else "error"


CROOKED_MM = 0.4
"""Distance from its line from which on a stitch counts as crooked."""
SMALLEST_GAP_MM = 4.0
"""Smallest length of missing thread: a shorter gap looks like a long stitch."""
SMALLEST_HANG_MM = 1.2
"""Smallest distance of the free end of a loose end from the seam."""
LARGEST_OVERLAP_MM = 0.3
"""Largest distance of a loose end beyond the seam, on the other side."""
SMALLEST_OPEN_GAP_MM = 3.0
"""Smallest length of a gap without a loose end above or below it."""
MOST_STITCHES = 9
"""Largest number of good stitches that a defect replaces."""


@dataclass(frozen=True)
class PlannedDefect:
    """A defect to be sewn."""

    kind: DefectKind
    at_mm: float
    """Where the defect begins, from the left end of the strip."""


@dataclass(frozen=True)
class SewnDefect:
    """A defect as it was sewn; it replaces `stitches` good stitches."""

    kind: ThreadDefectKind
    stitches: int
    paths: tuple[ThreadPath, ...]
    gap: Array | None = None
    """Where thread is missing: points (n, 2) in mm along the seam."""
    is_filled: bool = False
    """Whether the area between the thread and the seam belongs to the defect."""


def sew_loop(holes: Array, rng: np.random.Generator) -> SewnDefect:
    """Sew one stitch that is pulled out: an arc or a drop of thread, 1.2 to 5 mm wide."""
    span = int(rng.integers(1, 3))
    start, end = holes[0], holes[span]
    out = side(rng) * rng.uniform(1.2, 5.0)
    wide = rng.uniform(-0.4, 1.0) * (end[0] - start[0])
    lean = rng.normal(0, 0.3) * abs(out)
    pulls = 1.33 * out * rng.uniform(0.7, 1.3, 2)
    curve = bezier(start, start + vector(lean - wide, pulls[0]), end + vector(lean + wide, pulls[1]), end)
    return SewnDefect("loop", span, (ThreadPath(curve, lift_mm=0.25 + 0.12 * abs(out)),), is_filled=True)


def sew_slack(holes: Array, rng: np.random.Generator) -> SewnDefect:
    """Sew a few stitches without tension: each a small arc of its own height, 0.5 to 1.3 mm."""
    count = int(rng.integers(3, 8))
    toward = side(rng)
    paths = []
    for start, end in pairwise(holes[: count + 1]):
        out = toward * rng.uniform(0.5, 1.3) * (1 if chance(rng, 0.8) else -1)
        paths.append(_arc(start, end, out))
    return SewnDefect("slack", count, tuple(paths))


def sew_skip(holes: Array, rng: np.random.Generator) -> SewnDefect:
    """Sew one slack stitch over 6 to 14 mm, at least two lengths, where the hook missed the thread."""
    count = _stitches_in(holes, rng.uniform(6.0, 14.0))
    return SewnDefect("skip", count, (_arc(holes[0], holes[count], side(rng) * rng.uniform(0.15, 0.7)),))


def sew_bunch(holes: Array, rng: np.random.Generator) -> SewnDefect:
    """Sew stitches on top of each other over 4 to 10 mm, sometimes with a nest of thread on them."""
    count = _stitches_in(holes, rng.uniform(4.0, 10.0))
    start, end = holes[0], holes[count]
    paths = []
    x = start[0]
    while x < end[0] - 0.5:
        length = rng.uniform(1.2, 3.0)
        share = (x - start[0]) / (end[0] - start[0])
        y = start[1] + share * (end[1] - start[1]) + rng.normal(0, 0.3)
        paths.append(_arc(vector(x, y), vector(x + length, y + rng.normal(0, 0.35)), rng.normal(0, 0.2)))
        x += rng.uniform(0.25, 0.8)
    if chance(rng, 0.5):
        paths.append(_nest(holes[count // 2], rng))
    return SewnDefect("bunch", count, tuple(paths))


def sew_cut(holes: Array, rng: np.random.Generator) -> SewnDefect:
    """Leave out the thread of 1.5 to 5 stitches, at least 4 mm; its frayed ends lie where they were sewn."""
    count, left, right = _gap(holes, rng)
    paths = [*_stub(holes[0], left, rng), *_stub(holes[count], right, rng)]
    return SewnDefect("cut", count, tuple(paths), gap=np.stack([left, right]))


def sew_loose_end(holes: Array, rng: np.random.Generator) -> SewnDefect:
    """Leave out the thread of 1.5 to 5 stitches, at least 4 mm; one end or both hang off the seam."""
    count, left, right = _gap(holes, rng)
    sides = [(holes[0], 1.0), (holes[count], -1.0)]
    hanging = [one_of(rng, sides)] if chance(rng, 0.8) else sides
    reach_mm = (float(holes[count, 0] - holes[0, 0]) - SMALLEST_OPEN_GAP_MM) / len(hanging)
    paths: list[ThreadPath] = []
    for hole, forward in hanging:
        paths += _tail(hole, forward, reach_mm, rng)
    return SewnDefect("loose-end", count, tuple(paths), gap=np.stack([left, right]))


DEFECTS: dict[DefectKind, Callable[[Array, np.random.Generator], SewnDefect]] = {
    "loop": sew_loop,
    "slack": sew_slack,
    "skip": sew_skip,
    "bunch": sew_bunch,
    "cut": sew_cut,
    "loose-end": sew_loose_end,
}
"""The function that sews each kind over the following holes, (n, 2) in mm; `make_bend` bends the line for `crooked`."""


@dataclass(frozen=True)
class Bend:
    """A crooked run of stitches."""

    offset_mm: Array
    """(n,), of each needle hole."""
    is_crooked: npt.NDArray[np.bool_]
    """(n - 1,), whether the stitch from each hole to the next is visibly out of line."""


def make_bend(xs: Array, at_mm: float, rng: np.random.Generator) -> Bend:
    """Return a crooked run from `at_mm` on: a bump off the line and back, or a jump to another line."""
    out = side(rng) * rng.uniform(0.9, 2.8)
    return _bump(xs, at_mm, out, rng) if chance(rng, 0.6) else _jump(xs, at_mm, out, rng)


def _bump(xs: Array, at_mm: float, out: float, rng: np.random.Generator) -> Bend:
    half = rng.uniform(2.5, 5.5)
    bump = out * np.exp(-(((xs - at_mm - half) / half) ** 2) * 2)
    off = np.abs(bump) > CROOKED_MM
    unsteady = np.where(off, rng.normal(0, 0.15, len(xs)), 0)
    return Bend((bump + unsteady).astype(np.float32), off[:-1] | off[1:])


def _jump(xs: Array, at_mm: float, out: float, rng: np.random.Generator) -> Bend:
    """Return a jump. The line comes back slowly, over 80 mm, so only the jump itself is crooked."""
    width = rng.uniform(1.0, 4.0)
    step = np.clip((xs - at_mm) / width, 0, 1)
    back = np.clip((xs - at_mm - 8) / 80, 0, 1)
    offset = out * step * (1 - back**2 * (3 - 2 * back))
    return Bend(offset.astype(np.float32), np.abs(np.diff(out * step)) > CROOKED_MM / 2)


def _stitches_in(holes: Array, length_mm: float) -> int:
    """Return the number of stitches that cover a length, at least two."""
    return max(2, int(np.searchsorted(holes[:, 0], holes[0, 0] + length_mm)))


def _arc(start: Array, end: Array, out: float) -> ThreadPath:
    pull = vector(0, 1.33 * out)
    near, far = (2 * start + end) / 3 + pull, (start + 2 * end) / 3 + pull
    return ThreadPath(bezier(start, near, far, end), lift_mm=0.3 * abs(out))


def _gap(holes: Array, rng: np.random.Generator) -> tuple[int, Array, Array]:
    """Return the number of stitches that a gap touches, and its ends on the left and right, each (2,) in mm."""
    missing = max(rng.uniform(1.5, 5.0), SMALLEST_GAP_MM / float(holes[1, 0] - holes[0, 0]))
    count = int(np.ceil(missing))
    stub = (count - missing) * rng.uniform(0.1, 0.9)
    left = holes[0] + stub * (holes[1] - holes[0])
    right = holes[count] - (count - missing - stub) * (holes[count] - holes[count - 1])
    return count, left, right


def _stub(hole: Array, end: Array, rng: np.random.Generator) -> list[ThreadPath]:
    """Return the rest of a cut stitch: the thread up to its end, and the fibres that stick out there."""
    forward = float(np.sign(end[0] - hole[0])) or 1.0
    left_over = ThreadPath(np.stack([hole, end]), dips=(True, False))
    return [left_over, *_fray(end, 0.0 if forward > 0 else np.pi, rng)]


def _fray(end: Array, heading: float, rng: np.random.Generator) -> list[ThreadPath]:
    fibres = []
    for _ in range(int(rng.integers(2, 6))):
        curve = _random_thread(end, heading + rng.normal(0, 0.5), rng.uniform(0.4, 1.3), 0.5, rng)
        fibres.append(ThreadPath(curve, lift_mm=0.1, width=0.28, dips=(False, False)))
    return fibres


def _tail(hole: Array, forward: float, reach_mm: float, rng: np.random.Generator) -> list[ThreadPath]:
    """Return a loose end from `hole`, 2.5 to 11 mm long, straight or curling, at 45 to 120 degrees to the seam.

    It reaches over at most `reach_mm` of its own gap: a loose end that hides the gap looks like a loop.
    """
    falls = _loose_end_shapes(hole, forward, rng)
    curve = next(fall for fall in falls if _hangs_off_one_side(fall) and _over_gap(fall, forward) <= reach_mm)
    last = curve[-1] - curve[-4]
    return [
        ThreadPath(curve, lift_mm=0.35, dips=(True, False)),
        *_fray(curve[-1], float(np.arctan2(last[1], last[0])), rng),
    ]


def _loose_end_shapes(hole: Array, forward: float, rng: np.random.Generator) -> Iterator[Array]:
    """Yield shapes of a loose end, each (n, 2) in mm."""
    while True:
        angle = np.deg2rad(rng.uniform(45, 120)) * side(rng)
        heading = angle if forward > 0 else np.pi - angle
        yield _random_thread(hole, heading, rng.uniform(2.5, 11.0), one_of(rng, (0.04, 0.12, 0.25)), rng)


def _hangs_off_one_side(curve: Array) -> bool:
    """Return whether a loose end hangs off one side of the seam: one that turns back looks like a loop."""
    off = (curve[:, 1] - curve[0, 1]) * np.sign(curve[-1, 1] - curve[0, 1])
    return bool(off[-1] >= max(SMALLEST_HANG_MM, 0.7 * float(off.max())) and off.min() >= -LARGEST_OVERLAP_MM)


def _over_gap(curve: Array, forward: float) -> float:
    """Return how far a loose end reaches over its own gap, in mm."""
    return float(((curve[:, 0] - curve[0, 0]) * forward).max())


def _nest(centre: Array, rng: np.random.Generator) -> ThreadPath:
    start = centre + rng.normal(0, 0.5, 2).astype(np.float32)
    return ThreadPath(
        _random_thread(start, rng.uniform(-3, 3), rng.uniform(5, 10), 1.6, rng), lift_mm=0.3, dips=(False, False)
    )


def _random_thread(start: Array, heading: float, length_mm: float, curl: float, rng: np.random.Generator) -> Array:
    """Return a thread that fell at random: (n, 2) in mm, its heading drifting by about `curl` radians per mm."""
    step = 0.15
    count = max(5, int(length_mm / step))
    bias = rng.normal(0, curl)
    turns = np.cumsum(rng.normal(0, curl * 0.25, count)) * 0.25 + bias
    headings = heading + np.cumsum(turns) * step
    moves = np.stack([np.cos(headings), np.sin(headings)], axis=1) * step
    way = start + np.concatenate([[[0.0, 0.0]], np.cumsum(moves, axis=0)])
    return np.asarray(way, dtype=np.float32)

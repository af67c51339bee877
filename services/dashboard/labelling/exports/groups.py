"""Which frames of the lines must not be on two sides of a split.

A part is a group, or a batch. Frames that know neither belong together while one follows the other: the same thing may
be in all of them. Such a run ends with a pause, and one that goes on for too long is cut at its widest gap; then what
comes right after the cut is in no group at all. So two frames of one line that are in two runs are never less than
`APART` from each other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import timedelta
from itertools import pairwise
from typing import Final

from services.dashboard.labelling.annotations.annotation import Judged

APART: Final = timedelta(seconds=30)
"""A pause of a line after which it shows something else."""
LONGEST: Final = timedelta(minutes=30)
"""A run that goes on for longer is cut."""


def groups_of(frames: Iterable[Judged]) -> dict[str, str | None]:
    """Of each frame, by its id; None: too near to two groups to be in either."""
    groups: dict[str, str | None] = {}
    lines: dict[str, list[Judged]] = defaultdict(list)
    for judged in frames:
        frame = judged.frame
        if frame.batch or frame.part:
            groups[frame.frame_id] = "/".join(filter(None, (frame.line, frame.batch, frame.part)))
        else:
            lines[frame.line].append(judged)
    for line, unnamed in lines.items():
        groups.update(_by_run(line, sorted(unnamed, key=lambda each: each.frame.captured_at)))
    return groups


def _by_run(line: str, frames: Sequence[Judged]) -> dict[str, str | None]:
    """Of frames in the order of their capture."""
    groups: dict[str, str | None] = {}
    last: Judged | None = None
    for run in _runs(frames):
        name = f"{line}/{run[0].frame.captured_at:%Y-%m-%dT%H%M%S}"
        for judged in run:
            near = last is not None and judged.frame.captured_at - last.frame.captured_at < APART
            groups[judged.frame.frame_id] = None if near else name
        last = next((judged for judged in reversed(run) if groups[judged.frame.frame_id]), last)
    return groups


def _runs(frames: Sequence[Judged]) -> list[Sequence[Judged]]:
    found: list[Sequence[Judged]] = []
    begin = 0
    for end in range(1, len(frames) + 1):
        if end == len(frames) or _gap(frames, end) >= APART:
            found += _cut(frames[begin:end])
            begin = end
    return found


def _cut(run: Sequence[Judged]) -> list[Sequence[Judged]]:
    """A run in pieces that are short enough, cut at the widest gap of its middle half."""
    waiting, done = [run], list[Sequence[Judged]]()
    while waiting:
        piece = waiting.pop()
        began, ended = piece[0].frame.captured_at, piece[-1].frame.captured_at
        length = ended - began
        if length <= LONGEST:
            done.append(piece)
            continue
        middle = [
            end
            for end, (before, after) in enumerate(pairwise(piece), start=1)
            if after.frame.captured_at >= began + length / 4 and before.frame.captured_at <= ended - length / 4
        ]
        widest = max(middle, key=lambda end: _gap(piece, end))
        waiting += [piece[widest:], piece[:widest]]
    return done


def _gap(frames: Sequence[Judged], end: int) -> timedelta:
    return frames[end].frame.captured_at - frames[end - 1].frame.captured_at

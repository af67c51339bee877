"""Find the groups of the frames of lines. All frames of a group must be in one split.

The group of a frame is its batch and part. Frames with neither are grouped by runs, because frames that follow each
other may show the same part. A run ends with a pause of the line. A run that is too long is cut at its widest gap, and
the frames right after the cut are in no group. So frames of two runs of one line are at least `APART` apart.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import timedelta
from itertools import pairwise
from typing import Final

from services.dashboard.labelling.annotations.annotation import InspectedFrame

APART: Final = timedelta(seconds=30)
"""Least pause of a line after which its frames show another part."""
LONGEST: Final = timedelta(minutes=30)
"""Longest run that is not cut."""


def groups_of(frames: Iterable[InspectedFrame]) -> dict[str, str | None]:
    """Return the group of each frame by its id, or None for a frame that is too near to two groups."""
    groups: dict[str, str | None] = {}
    ungrouped: dict[str, list[InspectedFrame]] = defaultdict(list)
    for inspected in frames:
        frame = inspected.frame
        if frame.batch or frame.part:
            groups[frame.frame_id] = "/".join(filter(None, (frame.line, frame.batch, frame.part)))
        else:
            ungrouped[frame.line].append(inspected)
    for line, found in ungrouped.items():
        last_grouped: InspectedFrame | None = None
        for run in _runs(sorted(found, key=lambda each: each.frame.captured_at)):
            name = f"{line}/{run[0].frame.captured_at:%Y-%m-%dT%H%M%S}"
            for each in run:
                near = last_grouped is not None and each.frame.captured_at - last_grouped.frame.captured_at < APART
                groups[each.frame.frame_id] = None if near else name
            last_grouped = next((each for each in reversed(run) if groups[each.frame.frame_id]), last_grouped)
    return groups


def _runs(frames: Sequence[InspectedFrame]) -> list[Sequence[InspectedFrame]]:
    """Return the runs of one line, from its frames in the order of their capture."""
    runs: list[Sequence[InspectedFrame]] = []
    begin = 0
    for end in range(1, len(frames) + 1):
        if end == len(frames) or _gap(frames, end) >= APART:
            runs += _cut(frames[begin:end])
            begin = end
    return runs


def _cut(run: Sequence[InspectedFrame]) -> list[Sequence[InspectedFrame]]:
    """Cut a run into pieces that are short enough, each time at the widest gap of its middle half."""
    waiting, done = [run], list[Sequence[InspectedFrame]]()
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


def _gap(frames: Sequence[InspectedFrame], end: int) -> timedelta:
    return frames[end].frame.captured_at - frames[end - 1].frame.captured_at

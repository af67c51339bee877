"""The frames of the lines whose images are stored, with what inspection found."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final

from services.dashboard.frames.marks import Marks
from services.dashboard.frames.pending_removals import PendingRemovals
from services.dashboard.frames.repository import FrameKind, FrameRepository, newest_first
from services.dashboard.frames.schemas import Mark
from services.dashboard.labelling.annotations.annotation import InspectedFrame
from services.dashboard.labelling.annotations.log import AnnotationLog
from services.dashboard.lines.repository import LineRepository

MOST_RECENT: Final = 2_000
"""Newest frames of which a queue is made."""
MOST_MARKS: Final = 500


class LineFrames:
    """Finds frames in the frame index, among the marks, and in the annotation log."""

    def __init__(self, index: FrameRepository, lines: LineRepository, marks: Marks, removals: PendingRemovals) -> None:
        self._index = index
        self._lines = lines
        self._marks = marks
        self.removals = removals

    def lines(self) -> list[str]:
        """Return the names of all lines."""
        return self._lines.all()

    def find(self, recipe: str, frame: str, log: AnnotationLog) -> InspectedFrame | None:
        """Return a frame that was inspected with a recipe, or None if it is unknown or its image is not stored."""
        indexed = self._index.find(frame)
        if indexed is not None:
            return InspectedFrame.of(indexed.verdict) if indexed.verdict.recipe == recipe else None
        annotated = (each.inspected[frame] for each in reversed(log.annotations) if frame in each.inspected)
        marked = (inspected for inspected, _ in self.marked(recipe, None) if inspected.frame.frame_id == frame)
        return next(annotated, None) or next(marked, None)

    def recent(self, recipe: str, line: str | None) -> Iterator[InspectedFrame]:
        """Yield the newest frames whose images are stored, of one line or of all lines."""
        kinds = (FrameKind.FLAGGED, FrameKind.PASSED)
        newest = (self._index.newest(name, kinds) for name in ([line] if line else self._lines.all()))
        for indexed in islice(newest_first(newest), MOST_RECENT):
            if indexed.verdict.recipe == recipe and (inspected := InspectedFrame.of(indexed.verdict)):
                yield inspected

    def marked(self, recipe: str, line: str | None) -> Iterator[tuple[InspectedFrame, Mark]]:
        """Yield the frames that people marked as wrongly inspected, newest first."""
        for mark in self._marks.newest(line, MOST_MARKS).marks:
            if mark.recipe == recipe and mark.image_key:
                indexed = self._index.find(mark.frame.frame_id)
                inspected = InspectedFrame(
                    frame=mark.frame,
                    image_key=mark.image_key,
                    model_version=mark.model_version,
                    findings=indexed.verdict.findings if indexed else {},
                )
                yield inspected, mark

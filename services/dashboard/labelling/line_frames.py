"""Frames of the lines whose images are kept: what was judged of them, wherever that is known."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final

from services.dashboard.frames.marks import Mark, Marks
from services.dashboard.frames.repository import FrameIndex, Kind, newest_first
from services.dashboard.labelling.annotations.annotation import Judged
from services.dashboard.labelling.annotations.log import History
from services.dashboard.lines.register import LineRegister

MOST_LOOKED_AT: Final = 2_000
"""Of the newest frames, for a queue."""
MOST_MARKS: Final = 500


class LineFrames:
    """Asks the index of frames, the marks, and the records themselves."""

    def __init__(self, index: FrameIndex, lines: LineRegister, marks: Marks) -> None:
        self._index = index
        self._lines = lines
        self._marks = marks

    def lines(self) -> list[str]:
        """Those that anything was ever heard of."""
        return self._lines.all()

    def find(self, recipe: str, frame: str, history: History) -> Judged | None:
        """One frame that was judged by a recipe; None when it is unknown, or its image was not kept."""
        known = self._index.find(frame)
        if known is not None:
            return Judged.of(known.verdict) if known.verdict.recipe == recipe else None
        recorded = (record.judged[frame] for record in reversed(history.records) if frame in record.judged)
        marked = (judged for judged, _ in self.marked(recipe, None) if judged.frame.frame_id == frame)
        return next(recorded, None) or next(marked, None)

    def recent(self, recipe: str, line: str | None) -> Iterator[Judged]:
        """The newest frames whose images are kept, of one line or of all."""
        kinds = (Kind.FLAGGED, Kind.PASSED)
        walks = (self._index.newest(name, kinds) for name in ([line] if line else self._lines.all()))
        for known in islice(newest_first(walks), MOST_LOOKED_AT):
            if known.verdict.recipe == recipe and (judged := Judged.of(known.verdict)):
                yield judged

    def marked(self, recipe: str, line: str | None) -> Iterator[tuple[Judged, Mark]]:
        """The frames whose verdict somebody holds to be wrong, those captured last first."""
        for mark in self._marks.newest(line, MOST_MARKS).marks:
            if mark.recipe == recipe and mark.image_key:
                known = self._index.find(mark.frame.frame_id)
                found = known.verdict.findings if known else {}
                judged = Judged(
                    frame=mark.frame,
                    image_key=mark.image_key,
                    model_version=mark.model_version,
                    findings=found,
                )
                yield judged, mark

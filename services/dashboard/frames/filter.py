"""The filter and the order of a search for frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from services.dashboard.frames.repository import FrameKind, StoredFrame
from services.dashboard.web.paging import Place
from services.dashboard.web.problems import Problem
from shared.language import gettext
from shared.messages import Verdict


class FrameOrder(StrEnum):
    """The order of the frames that a search finds."""

    NEWEST = "newest"
    SCORE = "score"
    """Frames with the highest score of the label first."""
    THRESHOLD = "threshold"
    """Frames with a score nearest to its threshold first; of the given label, or without one of any label."""


@dataclass(frozen=True)
class FrameFilter:
    """The properties of the frames to find, and their order. A property that is None accepts any value."""

    line: str | None = None
    verdict: Verdict | None = None
    label: str | None = None
    """Frames in which this label is present or a fault; with a score limit, frames whose score is within it."""
    flagged: bool | None = None
    batch: str | None = None
    part: str | None = None
    camera: str | None = None
    first: datetime | None = None
    """Frames captured at this time or later."""
    last: datetime | None = None
    """Frames captured before this time."""
    score_from: float | None = None
    """The lowest score of `label` to find."""
    score_to: float | None = None
    """The highest score of `label` to find."""
    order: FrameOrder = FrameOrder.NEWEST
    model: str | None = None
    """The model version that inspected the frame."""

    def check(self) -> None:
        """Check that the properties are consistent.

        Raises:
            Problem: 422: they are inconsistent.
        """
        if self.first and self.last and self.first >= self.last:
            raise Problem(422, gettext("from: give a time before `to`"))
        if self.order is FrameOrder.SCORE and self.label is None:
            raise Problem(422, gettext("order: give the label whose score counts"))
        if self.score_from is None and self.score_to is None:
            return
        if self.label is None:
            raise Problem(422, gettext("score_from, score_to: give the label of the score"))
        if (self.score_from or 0.0) > (1.0 if self.score_to is None else self.score_to):
            raise Problem(422, gettext("score_from: give a score below `score_to`"))

    def matches(self, frame: StoredFrame) -> bool:
        """Return whether a frame has the properties, except `first` and `last`."""
        verdict, identity = frame.verdict, frame.verdict.frame
        return (
            (self.verdict is None or verdict.verdict is self.verdict)
            and (self.batch is None or identity.batch == self.batch)
            and (self.part is None or identity.part == self.part)
            and (self.camera is None or identity.camera == self.camera)
            and (self.model is None or verdict.model_version == self.model)
            and (self.flagged is None or verdict.flagged is self.flagged)
            and (self.label is None or self._matches_label(frame, self.label))
        )

    def contains(self, frame: StoredFrame) -> bool:
        """Return whether a frame has the properties, including `first` and `last`."""
        captured_at = frame.verdict.frame.captured_at
        return self.matches(frame) and not self.is_too_old(frame) and (self.last is None or captured_at < self.last)

    def rank(self, frame: StoredFrame) -> float:
        """Return a number by which frames are ordered, the highest first; not for `FrameOrder.NEWEST`."""
        findings = frame.verdict.findings
        chosen = [findings[self.label]] if self.label in findings else [] if self.label else list(findings.values())
        if self.order is FrameOrder.SCORE:
            return max((found.score for found in chosen), default=-1.0)
        return -min((abs(found.score - found.threshold) for found in chosen), default=1.0)

    def is_too_old(self, frame: StoredFrame) -> bool:
        """Return whether a frame was captured before `first`, so that a search backwards in time can end."""
        return self.first is not None and frame.verdict.frame.captured_at < self.first

    @property
    def search_start(self) -> Place | None:
        """The place of `last`, at which a search backwards in time begins; None: begin at the newest frame."""
        return (int(self.last.timestamp() * 1000), "") if self.last else None

    @property
    def kinds(self) -> Sequence[FrameKind]:
        """The lists of frames to search."""
        kinds = {None: set(FrameKind), Verdict.NG: {FrameKind.FLAGGED}, Verdict.ERROR: {FrameKind.ERROR}}.get(
            self.verdict, {FrameKind.FLAGGED, FrameKind.PASSED}
        )
        return sorted(kinds - {FrameKind.PASSED} if self.flagged else kinds)

    def _matches_label(self, frame: StoredFrame, label: str) -> bool:
        found = frame.verdict.findings.get(label)
        if found is None:
            return False
        if self.score_from is None and self.score_to is None:
            return found.present or found.fault or self.order is FrameOrder.THRESHOLD
        highest = 1.0 if self.score_to is None else self.score_to
        return (self.score_from or 0.0) <= found.score <= highest

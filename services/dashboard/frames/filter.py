"""Which frames are looked for, and where a page of them begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from services.dashboard.frames.repository import Kind, KnownFrame
from services.dashboard.web.paging import Place
from services.dashboard.web.problems import Problem
from shared.messages import Verdict


@dataclass(frozen=True)
class Wanted:
    """Which frames are looked for; None: any."""

    line: str | None = None
    verdict: Verdict | None = None
    label: str | None = None
    flagged: bool | None = None
    batch: str | None = None
    part: str | None = None
    camera: str | None = None
    first: datetime | None = None
    """captured then or later"""
    last: datetime | None = None
    """captured before"""
    score_from: float | None = None
    """of the label, at least"""
    score_to: float | None = None

    def check(self) -> None:
        """Say whether all of it goes together.

        Raises:
            Problem: 422: it does not.
        """
        if self.first and self.last and self.first >= self.last:
            raise Problem(422, "from: give a time before `to`")
        if not self._asks_scores:
            return
        if self.label is None:
            raise Problem(422, "score_from, score_to: say of which label")
        if (self.score_from or 0.0) > (1.0 if self.score_to is None else self.score_to):
            raise Problem(422, "score_from: give a score below `score_to`")

    def fits(self, frame: KnownFrame) -> bool:
        """Whether a frame is one of them; the time is not looked at."""
        verdict, identity = frame.verdict, frame.verdict.frame
        return (
            (self.verdict is None or verdict.verdict is self.verdict)
            and (self.batch is None or identity.batch == self.batch)
            and (self.part is None or identity.part == self.part)
            and (self.camera is None or identity.camera == self.camera)
            and (self.flagged is None or verdict.flagged is self.flagged)
            and (self.label is None or self._fits_label(frame, self.label))
        )

    def too_old(self, frame: KnownFrame) -> bool:
        """Whether a frame, and with it all that are older, was captured before the time that is asked for."""
        return self.first is not None and frame.verdict.frame.captured_at < self.first

    @property
    def newest(self) -> Place | None:
        """Just after the newest that can fit; None: the newest of all."""
        return (_milliseconds(self.last), "") if self.last else None

    @property
    def kinds(self) -> Sequence[Kind]:
        """The lists that may have such frames."""
        kinds = {None: set(Kind), Verdict.NG: {Kind.FLAGGED}, Verdict.ERROR: {Kind.ERROR}}.get(
            self.verdict, {Kind.FLAGGED, Kind.PASSED}
        )
        return sorted(kinds - {Kind.PASSED} if self.flagged else kinds)

    @property
    def _asks_scores(self) -> bool:
        return self.score_from is not None or self.score_to is not None

    def _fits_label(self, frame: KnownFrame, label: str) -> bool:
        """By its score when scores are asked for; otherwise it is present, or at fault."""
        found = frame.verdict.findings.get(label)
        if found is None:
            return False
        if not self._asks_scores:
            return found.present or found.fault
        highest = 1.0 if self.score_to is None else self.score_to
        return (self.score_from or 0.0) <= found.score <= highest


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)

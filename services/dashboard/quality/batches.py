"""List the batches of a line, and make the report of a batch."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from services.dashboard.checks.repository import CheckRepository
from services.dashboard.frames.service import FramesService
from services.dashboard.lines.repository import LineRepository
from services.dashboard.lines.schemas import PartCounts
from services.dashboard.quality.schemas import BatchList, BatchReport, BatchView
from services.dashboard.quality.service import pareto
from services.dashboard.statistics.rates import rate
from services.dashboard.store.counting import Counting
from services.dashboard.web.problems import Problem
from shared.language import gettext

WORST: Final = 12
MOST_LISTED: Final = 100
MOST_CHECKS: Final = 50


class BatchesService:
    """Makes the lists and reports of batches."""

    def __init__(
        self, lines: LineRepository, counting: Counting, frames: FramesService, checks: CheckRepository
    ) -> None:
        self._lines = lines
        self._counting = counting
        self._frames = frames
        self._checks = checks

    def newest(self, line: str) -> BatchList:
        """Return the batches of a line, the one with the newest frame first.

        Raises:
            Problem: 404: there is no such line or batch.
        """
        self._lines.check(line)
        return BatchList(batches=[self._view(line, name) for name in self._counting.slices(line, "batch", MOST_LISTED)])

    def report(self, line: str, batch: str) -> BatchReport:
        """Return one batch with its worst frames.

        Raises:
            Problem: 404: there is no such line or batch.
        """
        self._lines.check(line)
        view = self._view(line, batch)
        counts = self._counting.total(line, f"batch={batch}")
        worst = self._frames.worst(line, batch, view.last_captured_at, WORST)
        checks = self._checks.between(line, view.first_captured_at, view.last_captured_at, MOST_CHECKS)
        return BatchReport(batch=view, labels=pareto(counts), models=counts.model, worst=worst, checks=checks)

    def _view(self, line: str, batch: str) -> BatchView:
        seen = self._counting.seen(line, f"batch={batch}")
        if seen is None:
            raise Problem(
                404, gettext("there is no such batch: it never existed, or it is older than the stored counts")
            )
        counts = self._counting.total(line, f"batch={batch}")
        first, last = (datetime.fromtimestamp(moment, UTC) for moment in seen)
        return BatchView(
            line=line,
            batch=batch,
            first_captured_at=first,
            last_captured_at=last,
            inspected=counts.inspected,
            ok=counts.ok,
            ng=counts.ng,
            error=counts.error,
            rate=rate(counts.ng, counts.conclusive),
            parts=PartCounts.of(counts),
        )

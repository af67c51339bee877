"""Batches: what became of the frames of each."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from services.dashboard.frames.service import FramesService
from services.dashboard.lines.repository import LineRepository
from services.dashboard.quality.schemas import BatchList, BatchReport, BatchView
from services.dashboard.quality.service import pareto
from services.dashboard.statistics.rates import rate
from services.dashboard.store.counting import Counting
from services.dashboard.web.problems import Problem

WORST: Final = 12
MOST_LISTED: Final = 100


class BatchesService:
    """Batches, from their own counts."""

    def __init__(self, register: LineRepository, counting: Counting, frames: FramesService) -> None:
        self._register = register
        self._counting = counting
        self._frames = frames

    def newest(self, line: str) -> BatchList:
        """The batches of a line, the one with the newest frame first.

        Raises:
            Problem: 404.
        """
        self._register.check(line)
        return BatchList(batches=[self._view(line, name) for name in self._counting.slices(line, "batch", MOST_LISTED)])

    def report(self, line: str, batch: str) -> BatchReport:
        """One batch with its worst frames.

        Raises:
            Problem: 404.
        """
        self._register.check(line)
        view = self._view(line, batch)
        counts = self._counting.total(line, f"batch={batch}")
        worst = self._frames.worst(line, batch, view.last_captured_at, WORST)
        return BatchReport(batch=view, labels=pareto(counts), models=counts.model, worst=worst)

    def _view(self, line: str, batch: str) -> BatchView:
        seen = self._counting.seen(line, f"batch={batch}")
        if seen is None:
            raise Problem(404, "no frame of that batch is known: it never was, or it is older than what is kept")
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
        )

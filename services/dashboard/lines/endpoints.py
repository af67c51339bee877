"""``/api/lines`` and ``/api/workers``."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Path, Query

from services.dashboard.access import Role, at_least
from services.dashboard.lines.schemas import Accounting, LineList, LineView, Rates, WorkerView
from services.dashboard.lines.service import LinesService
from services.dashboard.statistics.steps import Step
from services.dashboard.web.problems import documented
from services.dashboard.web.services import provided
from services.dashboard.web.times import QueryTime
from shared.messages import Name

router = APIRouter(prefix="/api", tags=["lines"], dependencies=[at_least(Role.VIEWER)])


Lines = Annotated[LinesService, provided(LinesService)]
Line = Annotated[Name, Path(examples=["line-1"])]


@router.get("/lines", responses=documented(401, 503))
def list_lines(lines: Lines) -> LineList:
    """All lines as they are right now."""
    return LineList(lines=lines.states())


@router.get("/lines/{line}", responses=documented(401, 404, 422, 503))
def get_line(lines: Lines, line: Line) -> LineView:
    """A line as it is right now."""
    return lines.state(line)


@router.get("/lines/{line}/accounting", responses=documented(401, 404, 422, 503))
def get_accounting(lines: Lines, line: Line) -> Accounting:
    """Where every frame of a line went, since ever: captured = inspected + dropped + parked + in flight."""
    return lines.accounting(line)


@router.get("/lines/{line}/rates", responses=documented(401, 404, 422, 503))
def get_rates(
    lines: Lines,
    line: Line,
    first: Annotated[QueryTime | None, Query(alias="from", description="an hour before `to` when left out")] = None,
    last: Annotated[QueryTime | None, Query(alias="to", description="now when left out")] = None,
    step: Step = Step.MINUTE,
) -> Rates:
    """Defect rates over time, by line and by label, from counts by capture time (UTC)."""
    last = last or datetime.now(UTC)
    return lines.rates(line, step, first or last - timedelta(hours=1), last)


@router.get("/workers", responses=documented(401, 503))
def list_workers(lines: Lines) -> list[WorkerView]:
    """The inference workers and explainers that were heard of in the last hour."""
    return lines.workers()

"""The page of the lines."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from services.dashboard.lines.chart import draw_ng_rate
from services.dashboard.lines.endpoints import Line, Lines
from services.dashboard.statistics.buckets import BucketLength
from services.dashboard.web.service_registry import service_of
from services.dashboard.web.templating import Clock, show

CHART_MINUTES = 60

router = APIRouter(include_in_schema=False)


@router.get("/")
def show_lines(request: Request) -> HTMLResponse:
    """Show the lines. The page is always the same: the stream of events fills it."""
    return show(request, "lines.html", "lines")


@router.get("/lines/{line}/chart")
def show_chart(request: Request, lines: Lines, line: Line) -> HTMLResponse:
    """Return the chart of the NG rate over the last hour, for the page of the lines."""
    now = datetime.now(UTC)
    rates = lines.rates(line, BucketLength.MINUTE, now - timedelta(minutes=CHART_MINUTES - 1), now)
    drawing = draw_ng_rate(rates.buckets, rates.start, CHART_MINUTES, service_of(request, Clock))
    return HTMLResponse(drawing, headers={"Cache-Control": "no-store"})

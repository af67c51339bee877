"""The pages. What they show comes from the same services as the API's answers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from services.dashboard.access import Role, at_least
from services.dashboard.access import pages as people
from services.dashboard.accounting import pages as accounting
from services.dashboard.frames import pages as frames
from services.dashboard.labelling import pages as labelling
from services.dashboard.lines.endpoints import Line, Lines
from services.dashboard.models import pages as models
from services.dashboard.models import threshold_pages as thresholds
from services.dashboard.quality import pages as quality
from services.dashboard.store.counting import Step
from services.dashboard.trainings import pages as trainings
from services.dashboard.web.charts import draw_ng_rate
from services.dashboard.web.problems import ProblemDetails
from services.dashboard.web.templating import show, templates

CHART_MINUTES = 60

router = APIRouter(include_in_schema=False, dependencies=[at_least(Role.VIEWER)])
router.include_router(accounting.router)
router.include_router(quality.router)
router.include_router(frames.router)
router.include_router(labelling.router)
router.include_router(people.router)
router.include_router(trainings.router)
router.include_router(models.router)
router.include_router(thresholds.router)


@router.get("/")
def show_lines(request: Request) -> HTMLResponse:
    """The lines, live: the page itself is always the same, the stream of events fills it."""
    return show(request, "lines.html", "lines")


@router.get("/lines/{line}/chart")
def show_chart(request: Request, lines: Lines, line: Line) -> HTMLResponse:
    """The share of NG frames over the last hour, to be put into the page of the lines."""
    now = datetime.now(UTC)
    rates = lines.rates(line, Step.MINUTE, now - timedelta(minutes=CHART_MINUTES - 1), now)
    drawing = draw_ng_rate(rates.buckets, rates.start, CHART_MINUTES, request.app.state.clock)
    return HTMLResponse(drawing, headers={"Cache-Control": "no-store"})


def show_problem(request: Request, details: ProblemDetails) -> HTMLResponse:
    """A problem for people: what is wrong, and the way back."""
    return templates.TemplateResponse(request, "problem.html", {"problem": details}, status_code=details.status)

"""``/api/quality`` and ``/api/lines/{line}/batches``."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Response

from services.dashboard.access import Role, at_least
from services.dashboard.lines.endpoints import Line, Lines
from services.dashboard.lines.schemas import Choices
from services.dashboard.quality.batches import BatchesService
from services.dashboard.quality.question import LimitsFrom, Question, check, part_of
from services.dashboard.quality.schemas import BatchList, BatchReport, Comparison, QualityView
from services.dashboard.quality.service import QualityService
from services.dashboard.quality.table import csv_of
from services.dashboard.statistics.windows import Every
from services.dashboard.web.problems import documented
from services.dashboard.web.services import provided
from services.dashboard.web.times import QueryTime
from shared.messages import Name

router = APIRouter(prefix="/api", tags=["quality"], dependencies=[at_least(Role.VIEWER)])


Qualities = Annotated[QualityService, provided(QualityService)]
Batches = Annotated[BatchesService, provided(BatchesService)]
Batch = Annotated[Name, Path(examples=["batch-12"])]


def _question(
    *,
    first: Annotated[QueryTime | None, Query(alias="from", description="a day before `to` when left out")] = None,
    last: Annotated[QueryTime | None, Query(alias="to", description="now when left out")] = None,
    every: Annotated[Every | None, Query(description="length of a point; as it suits when left out")] = None,
    line: Annotated[Name | None, Query(description="of this line only")] = None,
    camera: Annotated[Name | None, Query(description="one of camera, batch and model may be given")] = None,
    batch: Annotated[Name | None, Query()] = None,
    model: Annotated[str | None, Query(max_length=200, description="version that inspected")] = None,
    shift: Annotated[int | None, Query(ge=1, le=24, description="of this shift of the day only, from 1")] = None,
    label: Annotated[Name | None, Query(description="NG for whatever reason when left out")] = None,
    limits: Annotated[LimitsFrom, Query(description="of which frames the control limits are made")] = LimitsFrom.WINDOW,
) -> Question:
    last = last or datetime.now(UTC)
    first = first or last - timedelta(days=1)
    part = part_of(camera, batch, model)
    check(every, shift, first, last)
    return Question(first, last, every, line, part, shift, label, limits)


Asked = Annotated[Question, Depends(_question)]


@router.get("/quality", responses=documented(401, 404, 422, 503))
def get_quality(quality: Qualities, question: Asked) -> QualityView:
    """Defect rates over time with control limits and run rules, and the Pareto of labels."""
    return quality.view(question)


@router.get(
    "/quality/table.csv",
    response_class=Response,
    responses={200: {"content": {"text/csv": {}}}, **documented(401, 404, 422, 503)},
)
def get_table(quality: Qualities, question: Asked) -> Response:
    """The points of the chart as CSV."""
    headers = {"Content-Disposition": 'attachment; filename="quality.csv"'}
    return Response(csv_of(quality.view(question)), media_type="text/csv; charset=utf-8", headers=headers)


@router.get("/quality/comparison", responses=documented(401, 404, 422, 503))
def compare_windows(
    quality: Qualities,
    question: Asked,
    against_first: Annotated[
        QueryTime | None, Query(alias="against_from", description="a window as long, just before, when left out")
    ] = None,
    against_last: Annotated[QueryTime | None, Query(alias="against_to")] = None,
) -> Comparison:
    """Two windows side by side, with an interval of the difference, for NG and for each label."""
    return quality.compare(question, other_window(question, against_first, against_last))


@router.get("/quality/choices", responses=documented(401, 422, 503))
def get_choices(lines: Lines, line: Annotated[Name | None, Query()] = None) -> Choices:
    """The lines, cameras, batches, models and labels that can be asked for."""
    return lines.choices(line)


@router.get("/lines/{line}/batches", responses=documented(401, 404, 422, 503))
def list_batches(batches: Batches, line: Line) -> BatchList:
    """The batches of a line, the one with the newest frame first: 100 at most."""
    return batches.newest(line)


@router.get("/lines/{line}/batches/{batch}", responses=documented(401, 404, 422, 503))
def get_batch(batches: Batches, line: Line, batch: Batch) -> BatchReport:
    """A batch: its counts, its rate with the interval, its worst frames, and the models that inspected."""
    return batches.report(line, batch)


def other_window(question: Question, first: datetime | None, last: datetime | None) -> Question:
    """What a window is compared with: the one that is given, or one as long that ends where it begins."""
    length = question.last - question.first
    last = last or (first + length if first else question.first)
    first = first or last - length
    check(question.every, question.shift, first, last)
    return question.over(first, last)

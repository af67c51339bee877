"""The endpoints of quality: ``/api/quality`` and ``/api/lines/{line}/batches``."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Response

from services.dashboard.lines.endpoints import Line, Lines
from services.dashboard.lines.schemas import FilterValues
from services.dashboard.quality.batches import BatchesService
from services.dashboard.quality.control_limits import LimitsFrom
from services.dashboard.quality.filter import ComparedBy, QualityFilter
from services.dashboard.quality.schemas import BatchList, BatchReport, Breakdown, QualityView, WindowComparison
from services.dashboard.quality.service import QualityService
from services.dashboard.quality.table import csv_of, csv_of_breakdown
from services.dashboard.statistics.windows import Subgroup
from services.dashboard.web.authorization import at_least
from services.dashboard.web.callers import Role
from services.dashboard.web.problems import documented
from services.dashboard.web.query_times import QueryTime
from services.dashboard.web.service_registry import provided
from shared.label_names import LabelName
from shared.messages import Name

router = APIRouter(prefix="/api", tags=["quality"], dependencies=[at_least(Role.VIEWER)])


Quality = Annotated[QualityService, provided(QualityService)]
Batches = Annotated[BatchesService, provided(BatchesService)]
Batch = Annotated[Name, Path(examples=["batch-12"])]


def filter_of_query(
    *,
    first: Annotated[QueryTime | None, Query(alias="from", description="default: a day before `to`")] = None,
    last: Annotated[QueryTime | None, Query(alias="to", description="default: now")] = None,
    subgroup: Annotated[
        Subgroup | None, Query(description="time that a point covers; default: by the length of the window")
    ] = None,
    line: Annotated[Name | None, Query(description="only frames of this line")] = None,
    camera: Annotated[
        Name | None, Query(description="only frames of this camera; not together with `batch` or `model`")
    ] = None,
    batch: Annotated[Name | None, Query()] = None,
    model: Annotated[str | None, Query(max_length=200, description="model version of the verdicts")] = None,
    shift: Annotated[
        int | None, Query(ge=1, le=24, description="only frames of this shift; the first of the day is 1")
    ] = None,
    label: Annotated[
        LabelName | None, Query(description="count frames with this label; default: all NG frames")
    ] = None,
    limits: Annotated[
        LimitsFrom, Query(description="which frames the control limits are computed from")
    ] = LimitsFrom.WINDOW,
) -> QualityFilter:
    return QualityFilter.of(
        first,
        last,
        timedelta(days=1),
        camera=camera,
        batch=batch,
        model=model,
        subgroup=subgroup,
        line=line,
        shift=shift,
        label=label,
        limits=limits,
    )


Filter = Annotated[QualityFilter, Depends(filter_of_query)]


@router.get("/quality", responses=documented(401, 404, 422, 503))
def get_quality(quality: Quality, quality_filter: Filter) -> QualityView:
    """Return the defect rates over time with control limits and run rules, and the Pareto of labels."""
    return quality.view(quality_filter)


@router.get(
    "/quality/table.csv",
    response_class=Response,
    responses={200: {"content": {"text/csv": {}}}, **documented(401, 404, 422, 503)},
)
def get_table(quality: Quality, quality_filter: Filter) -> Response:
    """Return the points of the chart as CSV."""
    about = "-".join(filter(None, (quality_filter.line, quality_filter.label, f"{quality_filter.first:%Y-%m-%d}")))
    headers = {"Content-Disposition": f'attachment; filename="quality-{about}.csv"'}
    return Response(csv_of(quality.view(quality_filter)), media_type="text/csv; charset=utf-8", headers=headers)


@router.get("/quality/breakdown", responses=documented(401, 404, 422, 503))
def get_breakdown(quality: Quality, quality_filter: Filter, by: ComparedBy = ComparedBy.MODEL) -> Breakdown:
    """Return the rate of each model, batch, camera or shift within a window, with its interval."""
    return quality.breakdown(quality_filter, by)


@router.get(
    "/quality/breakdown.csv",
    response_class=Response,
    responses={200: {"content": {"text/csv": {}}}, **documented(401, 404, 422, 503)},
)
def get_breakdown_table(quality: Quality, quality_filter: Filter, by: ComparedBy = ComparedBy.MODEL) -> Response:
    """Return the rate of each model, batch, camera or shift as CSV."""
    about = "-".join(filter(None, (quality_filter.line, quality_filter.label, f"{quality_filter.first:%Y-%m-%d}")))
    headers = {"Content-Disposition": f'attachment; filename="quality-by-{by.value}-{about}.csv"'}
    content = csv_of_breakdown(quality.breakdown(quality_filter, by))
    return Response(content, media_type="text/csv; charset=utf-8", headers=headers)


@router.get("/quality/comparison", responses=documented(401, 404, 422, 503))
def compare_windows(
    quality: Quality,
    quality_filter: Filter,
    against_first: Annotated[
        QueryTime | None, Query(alias="against_from", description="default: a window of the same length just before")
    ] = None,
    against_last: Annotated[QueryTime | None, Query(alias="against_to")] = None,
) -> WindowComparison:
    """Compare two windows: the differences of the NG rate and of each label's rate, with confidence intervals."""
    return quality.compare(quality_filter, quality_filter.baseline_filter(against_first, against_last))


@router.get("/quality/choices", responses=documented(401, 422, 503))
def get_choices(lines: Lines, line: Annotated[Name | None, Query()] = None) -> FilterValues:
    """Return the lines, cameras, batches, models and labels that a filter may have."""
    return lines.choices(line)


@router.get("/lines/{line}/batches", responses=documented(401, 404, 422, 503))
def list_batches(batches: Batches, line: Line) -> BatchList:
    """Return the batches of a line, the one with the newest frame first: 100 at most."""
    return batches.newest(line)


@router.get("/lines/{line}/batches/{batch}", responses=documented(401, 404, 422, 503))
def get_batch(batches: Batches, line: Line, batch: Batch) -> BatchReport:
    """Return a batch: its counts, its defect rate with a confidence interval, its worst frames, and its models."""
    return batches.report(line, batch)

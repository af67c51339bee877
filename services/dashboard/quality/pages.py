"""The pages on quality: the defect rate over time, the batches of a line, and the report of one batch."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from services.dashboard.frames.endpoints import Frames
from services.dashboard.frames.filter import FrameFilter
from services.dashboard.lines.endpoints import Line, Lines
from services.dashboard.models.endpoints import Models, Names
from services.dashboard.models.schemas import LabelView
from services.dashboard.models.service import ModelsService
from services.dashboard.quality.charts import data_of_control, data_of_pareto, draw_control, draw_pareto
from services.dashboard.quality.control_limits import LimitsFrom
from services.dashboard.quality.endpoints import Batch, Batches, Quality
from services.dashboard.quality.filter import ComparedBy, QualityFilter
from services.dashboard.quality.service import with_cumulative_shares
from services.dashboard.statistics.control_chart import RunRule
from services.dashboard.statistics.windows import Subgroup
from services.dashboard.web.form import Fields, FormFields
from services.dashboard.web.problems import Problem
from services.dashboard.web.service_registry import service_of
from services.dashboard.web.templating import Clock, show
from shared.language import gettext
from shared.recipe import LabelRole
from shared.validation import marked

SPANS: Final = {
    "hour": (marked("Hour"), timedelta(hours=1)),
    "shift": (marked("8 hours"), timedelta(hours=8)),
    "day": (marked("Day"), timedelta(days=1)),
    "week": (marked("Week"), timedelta(days=7)),
    "month": (marked("Month"), timedelta(days=30)),
    "quarter": (marked("Quarter"), timedelta(days=91)),
    "year": (marked("Year"), timedelta(days=365)),
}
RULES: Final = {
    RunRule.BEYOND: marked("beyond the control limit"),
    RunRule.TWO_OF_THREE: marked("2 of 3 points in a row beyond 2 σ"),
    RunRule.FOUR_OF_FIVE: marked("4 of 5 points in a row beyond 1 σ"),
    RunRule.EIGHT: marked("8 points in a row on one side"),
}
NO_PAGE_FIELDS: Final = dict.fromkeys(("span", "against_from", "against_to"))
"""Removes the fields of the page that the API lacks from an address."""
MOST_SIGNALS: Final = 12
"""Most points listed that break a rule of the control chart."""

router = APIRouter(include_in_schema=False)


@router.get("/quality")
def show_quality(
    request: Request, quality: Quality, lines: Lines, models: Models, *, frames: Frames, names: Names, fields: Fields
) -> HTMLResponse:
    """Show the defect rate over time with its limits, the Pareto chart of faults, and a comparison of two periods."""
    clock = service_of(request, Clock)
    choices = lines.choices(fields.get("line"))
    context: dict[str, Any] = {
        "fields": fields,
        "choices": choices,
        "spans": SPANS,
        "subgroups": list(Subgroup),
        "rules": RULES,
        "groups": list(ComparedBy),
        "names": names.by_version(),
    }
    try:
        quality_filter = filter_of_form(fields, clock)
        view = quality.view(quality_filter)
        against = quality_filter.baseline_filter(fields.time("against_from", clock), fields.time("against_to", clock))
        comparison = quality.compare(quality_filter, against)
    except Problem as problem:
        return show(request, "quality.html", "quality", problem=problem.details, span=fields.get("span"), **context)
    by = next((each for each in ComparedBy if each.value == fields.get("by")), ComparedBy.MODEL)
    labels = _labels(models, frames, quality_filter.line)
    colours = {name: label.colour for name, label in labels.items()}
    faulty_if_absent = {name for name, label in labels.items() if label.role is LabelRole.QUALITY}
    window = {"from": quality_filter.first.isoformat(), "to": quality_filter.last.isoformat()}
    ranked = with_cumulative_shares([each for each in view.labels if each.label not in faulty_if_absent])
    return show(
        request,
        "quality.html",
        "quality",
        view=view,
        chart=view.chart,
        ranked=ranked,
        faulty_if_absent=faulty_if_absent,
        comparison=comparison,
        colours=colours,
        drawing=draw_control(view.chart, clock, gettext("Defect rate over time with its control limits")),
        pareto=draw_pareto(
            ranked, colours, gettext("Faults by label, the most frequent first, with their cumulative share")
        ),
        control_data=data_of_control(view.chart, clock, context["names"]),
        pareto_data=data_of_pareto(ranked, colours),
        breakdown=None
        if quality_filter.slice_name and by is not ComparedBy.SHIFT
        else quality.breakdown(quality_filter, by),
        by=by,
        breakdown_csv_address=fields.address("/api/quality/breakdown.csv", **window, by=by.value, **NO_PAGE_FIELDS),
        signals=[point for point in reversed(view.chart.points) if point.rules][:MOST_SIGNALS],
        signal_count=sum(bool(point.rules) for point in view.chart.points),
        csv_address=fields.address("/api/quality/table.csv", **window, by=None, **NO_PAGE_FIELDS),
        span=None if fields.get("from") else fields.get("span") or "day",
        quality_filter=quality_filter,
        **context,
    )


@router.get("/lines/{line}/batches")
def show_batches(request: Request, batches: Batches, line: Line) -> HTMLResponse:
    """Show the batches of a line."""
    return show(request, "batches.html", "quality", line=line, batches=batches.newest(line).batches)


@router.get("/lines/{line}/batches/{batch}")
def show_batch(
    request: Request, batches: Batches, models: Models, frames: Frames, names: Names, *, line: Line, batch: Batch
) -> HTMLResponse:
    """Show the printable report of a batch: its counts, its defect rate with the interval, worst frames and models."""
    report = batches.report(line, batch)
    labels = _labels(models, frames, line)
    return show(
        request,
        "batch.html",
        "quality",
        report=report,
        labels=labels,
        names=names.by_version(),
        now=datetime.now(UTC),
    )


def filter_of_form(fields: FormFields, clock: Clock) -> QualityFilter:
    """Return the filter of a form.

    Raises:
        Problem: 422: a field has an invalid value, or the values are inconsistent.
    """
    subgroup, shift, limits = fields.get("subgroup"), fields.get("shift"), fields.get("limits")
    try:
        return QualityFilter.of(
            fields.time("from", clock),
            fields.time("to", clock),
            SPANS.get(fields.get("span") or "day", SPANS["day"])[1],
            camera=fields.get("camera"),
            batch=fields.get("batch"),
            model=fields.get("model"),
            subgroup=Subgroup(subgroup) if subgroup else None,
            line=fields.get("line"),
            shift=int(shift) if shift else None,
            label=fields.get("label"),
            limits=LimitsFrom(limits) if limits else LimitsFrom.WINDOW,
        )
    except ValueError as error:
        raise Problem(422, gettext("a field has an invalid value: %(error)s", error=error)) from error


def _labels(models: ModelsService, frames: Any, line: str | None) -> dict[str, LabelView]:
    """Return the labels, by name, of the model that inspected the newest frame of a line; None: of any line."""
    newest = frames.newest(FrameFilter(line=line), 1)
    return {label.name: label for frame in newest for label in models.labels(frame.recipe, frame.model_version)}

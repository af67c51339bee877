"""The pages of quality: rates over time, and the report of a batch."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from services.dashboard.frames.endpoints import Frames
from services.dashboard.frames.filter import FrameFilter
from services.dashboard.lines.endpoints import Line, Lines
from services.dashboard.models.endpoints import Models
from services.dashboard.models.schemas import LabelView
from services.dashboard.models.service import ModelsService
from services.dashboard.quality.charts import draw_control, draw_pareto
from services.dashboard.quality.endpoints import Batch, Batches, Qualities, other_window
from services.dashboard.quality.question import LimitsFrom, Question, check, part_of
from services.dashboard.quality.service import accumulated
from services.dashboard.statistics.control_chart import Rule
from services.dashboard.statistics.windows import Every
from services.dashboard.web.form import Fields, FormFields
from services.dashboard.web.problems import Problem
from services.dashboard.web.services import service_of
from services.dashboard.web.templating import Clock, show
from shared.recipe import Role

SPANS: Final = {
    "hour": ("Hour", timedelta(hours=1)),
    "shift": ("8 hours", timedelta(hours=8)),
    "day": ("Day", timedelta(days=1)),
    "week": ("Week", timedelta(days=7)),
    "month": ("Month", timedelta(days=30)),
    "quarter": ("Quarter", timedelta(days=91)),
    "year": ("Year", timedelta(days=365)),
}
RULES: Final = {
    Rule.BEYOND: "beyond the control limit",
    Rule.TWO_OF_THREE: "2 of 3 points in a row beyond 2 σ",
    Rule.FOUR_OF_FIVE: "4 of 5 points in a row beyond 1 σ",
    Rule.EIGHT: "8 points in a row on one side",
}
MOST_SIGNALS: Final = 12

router = APIRouter(include_in_schema=False)


@router.get("/quality")
def show_quality(
    request: Request, quality: Qualities, lines: Lines, models: Models, frames: Frames, *, fields: Fields
) -> HTMLResponse:
    """Rates over time with their limits, the Pareto of labels, and the window before for comparison."""
    clock = service_of(request, Clock)
    choices = lines.choices(fields.get("line"))
    context: dict[str, Any] = {
        "fields": fields,
        "choices": choices,
        "spans": SPANS,
        "every": list(Every),
        "rules": RULES,
    }
    try:
        question = _question(fields, clock)
        view = quality.view(question)
        comparison = quality.compare(question, _against(fields, question, clock))
    except Problem as problem:
        return show(request, "quality.html", "quality", problem=problem.details, span=fields.get("span"), **context)
    labels = _labels(models, frames, question.line)
    colours = {name: label.colour for name, label in labels.items()}
    missing = {name for name, label in labels.items() if label.role is Role.QUALITY}
    ranked = accumulated([each for each in view.labels if each.label not in missing])
    return show(
        request,
        "quality.html",
        "quality",
        view=view,
        chart=view.chart,
        ranked=ranked,
        missing=missing,
        comparison=comparison,
        colours=colours,
        drawing=draw_control(view.chart, clock, "Defect rate over time with its control limits"),
        pareto=draw_pareto(ranked, colours, "Faults by label, the most frequent first"),
        signals=[point for point in reversed(view.chart.points) if point.rules][:MOST_SIGNALS],
        signalled=sum(bool(point.rules) for point in view.chart.points),
        table=_api_address(fields, question, "/api/quality/table.csv"),
        span=None if fields.get("from") else fields.get("span") or "day",
        question=question,
        **context,
    )


@router.get("/lines/{line}/batches")
def show_batches(request: Request, batches: Batches, line: Line) -> HTMLResponse:
    """The batches of a line."""
    return show(request, "batches.html", "quality", line=line, batches=batches.newest(line).batches)


@router.get("/lines/{line}/batches/{batch}")
def show_batch(
    request: Request, batches: Batches, models: Models, frames: Frames, *, line: Line, batch: Batch
) -> HTMLResponse:
    """A batch on paper: its counts, its rate with the interval, its worst frames, and the models that inspected."""
    report = batches.report(line, batch)
    labels = _labels(models, frames, line)
    return show(request, "batch.html", "quality", report=report, labels=labels, now=datetime.now(UTC))


def _question(fields: FormFields, clock: Clock) -> Question:
    last = fields.time("to", clock) or datetime.now(UTC)
    span = SPANS.get(fields.get("span") or "day", SPANS["day"])[1]
    first = fields.time("from", clock) or last - span
    every, shift, limits = fields.get("every"), fields.get("shift"), fields.get("limits")
    try:
        chosen = Every(every) if every else None
        number = int(shift) if shift else None
        source = LimitsFrom(limits) if limits else LimitsFrom.WINDOW
    except ValueError as error:
        raise Problem(422, f"the form has a value that is none of its own: {error}") from error
    check(chosen, number, first, last)
    part = part_of(fields.get("camera"), fields.get("batch"), fields.get("model"))
    return Question(first, last, chosen, fields.get("line"), part, number, fields.get("label"), source)


def _against(fields: FormFields, question: Question, clock: Clock) -> Question:
    return other_window(question, fields.time("against_from", clock), fields.time("against_to", clock))


def _api_address(fields: FormFields, question: Question, path: str) -> str:
    window = {"from": question.first.isoformat(), "to": question.last.isoformat(), "span": None}
    return fields.address(path, **window, against_from=None, against_to=None)


def _labels(models: ModelsService, frames: Any, line: str | None) -> dict[str, LabelView]:
    """The labels by the model that inspected last: for their roles and colours."""
    newest = frames.newest(FrameFilter(line=line), 1)
    return {label.name: label for frame in newest for label in models.labels(frame.recipe, frame.model_version)}

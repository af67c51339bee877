"""The pages of frames: the search, and one frame."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from pydantic import TypeAdapter, ValidationError

from services.dashboard.frames.endpoints import FrameId, Frames, MarkedFrames
from services.dashboard.frames.filter import FrameFilter
from services.dashboard.lines.endpoints import Lines
from services.dashboard.models.endpoints import Models
from services.dashboard.web.form import Fields, FormFields
from services.dashboard.web.paging import Before
from services.dashboard.web.problems import Problem
from services.dashboard.web.registry import service_of
from services.dashboard.web.templating import Clock, show
from shared.label_names import LabelName
from shared.messages import Name, Verdict
from shared.recipe import LabelRole

PAGE: Final = 48
_NAME: Final = TypeAdapter[str](Name)
_LABEL: Final = TypeAdapter[str | None](LabelName | None)

router = APIRouter(include_in_schema=False)


@router.get("/frames")
def show_frames(
    request: Request, frames: Frames, marks: MarkedFrames, *, lines: Lines, fields: Fields, before: Before = None
) -> HTMLResponse:
    """Show the search: by line, time, label, verdict, batch, part and score."""
    context = {"fields": fields, "choices": lines.choices(fields.get("line")), "verdicts": list(Verdict)}
    try:
        found = frames.search(filter_of_form(fields, service_of(request, Clock)), before, PAGE)
    except Problem as problem:
        return show(request, "frames.html", "frames", problem=problem.details, **context)
    return show(request, "frames.html", "frames", found=found, marked=marks.marked_among(found.frames), **context)


@router.get("/frames/{frame_id}")
def show_frame(
    request: Request, frames: Frames, models: Models, marks: MarkedFrames, frame_id: FrameId
) -> HTMLResponse:
    """Show one frame: its image, its heatmaps, and its scores with their thresholds."""
    frame = frames.get(frame_id)
    labels = {label.name: label for label in models.labels(frame.recipe, frame.model_version)}
    named = [label for label in frame.faults if label not in labels or labels[label].role is not LabelRole.QUALITY]
    shown = named or frame.faults or list(frame.heatmaps)
    return show(request, "frame.html", "frames", frame=frame, labels=labels, shown=shown, mark=marks.find(frame))


def filter_of_form(fields: FormFields, clock: Clock) -> FrameFilter:
    """Return the filter of a form.

    Raises:
        Problem: 422: a field has an invalid value.
    """
    try:
        verdict, low, high = fields.get("verdict"), fields.get("score_from"), fields.get("score_to")
        return FrameFilter(
            line=_name(fields, "line"),
            camera=_name(fields, "camera"),
            label=_LABEL.validate_python(fields.get("label")),
            batch=_name(fields, "batch"),
            part=_name(fields, "part"),
            verdict=Verdict(verdict) if verdict else None,
            first=fields.time("from", clock),
            last=fields.time("to", clock),
            score_from=float(low) if low else None,
            score_to=float(high) if high else None,
        )
    except (ValidationError, ValueError) as error:
        raise Problem(422, "a field has an invalid value: names are letters, digits, _ and -") from error


def _name(fields: FormFields, field: str) -> str | None:
    value = fields.get(field)
    return _NAME.validate_python(value) if value else None

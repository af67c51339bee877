"""The pages of frames: the search, and one frame."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from pydantic import TypeAdapter, ValidationError

from services.dashboard.frames.endpoints import FrameId, Frames, MarkedFrames
from services.dashboard.frames.filter import Wanted
from services.dashboard.lines.endpoints import Lines
from services.dashboard.models.endpoints import Models
from services.dashboard.web.form import Asked, Fields
from services.dashboard.web.paging import Before
from services.dashboard.web.problems import Problem
from services.dashboard.web.services import service_of
from services.dashboard.web.templating import Clock, show
from shared.messages import Name, Verdict
from shared.recipe import Role

PAGE: Final = 48
_NAME: Final = TypeAdapter[str](Name)

router = APIRouter(include_in_schema=False)


@router.get("/frames")
def show_frames(
    request: Request, frames: Frames, marks: MarkedFrames, *, lines: Lines, asked: Fields, before: Before = None
) -> HTMLResponse:
    """Search: by line, time, label, verdict, batch, part and score."""
    context = {"asked": asked, "choices": lines.choices(asked.get("line")), "verdicts": list(Verdict)}
    try:
        found = frames.search(_wanted(asked, service_of(request, Clock)), before, PAGE)
    except Problem as problem:
        return show(request, "frames.html", "frames", problem=problem.details, **context)
    return show(request, "frames.html", "frames", found=found, marked=marks.among(found.frames), **context)


@router.get("/frames/{frame_id}")
def show_frame(
    request: Request, frames: Frames, models: Models, marks: MarkedFrames, frame_id: FrameId
) -> HTMLResponse:
    """One frame: the image, the heatmap of each label, and the scores against their thresholds."""
    frame = frames.get(frame_id)
    labels = {label.name: label for label in models.labels(frame.recipe, frame.model_version)}
    named = [label for label in frame.faults if label not in labels or labels[label].role is not Role.QUALITY]
    shown = named or frame.faults or list(frame.heatmaps)
    return show(request, "frame.html", "frames", frame=frame, labels=labels, shown=shown, mark=marks.find(frame))


def _wanted(asked: Asked, clock: Clock) -> Wanted:
    """What the form asks for.

    Raises:
        Problem: 422: a field has no value of its kind.
    """
    try:
        verdict, low, high = asked.get("verdict"), asked.get("score_from"), asked.get("score_to")
        return Wanted(
            line=_name(asked, "line"),
            camera=_name(asked, "camera"),
            label=_name(asked, "label"),
            batch=_name(asked, "batch"),
            part=_name(asked, "part"),
            verdict=Verdict(verdict) if verdict else None,
            first=_utc(clock.read(asked.get("from"))),
            last=_utc(clock.read(asked.get("to"))),
            score_from=float(low) if low else None,
            score_to=float(high) if high else None,
        )
    except (ValidationError, ValueError) as error:
        raise Problem(
            422, "a field has a value that is none of its kind: names are letters, digits, _ and -"
        ) from error


def _name(asked: Asked, field: str) -> str | None:
    value = asked.get(field)
    return _NAME.validate_python(value) if value else None


def _utc(moment: datetime | None) -> datetime | None:
    return moment.astimezone(UTC) if moment else None

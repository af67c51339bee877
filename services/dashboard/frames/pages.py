"""The pages of frames: the search, and one frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from pydantic import TypeAdapter, ValidationError

from services.dashboard.frames.endpoints import FrameId, Frames, MarkedFrames
from services.dashboard.frames.filter import FrameFilter, FrameOrder
from services.dashboard.frames.schemas import FrameView
from services.dashboard.frames.service import severity
from services.dashboard.lines.endpoints import Lines
from services.dashboard.models.endpoints import Models, Names
from services.dashboard.web.form import Fields, FormFields
from services.dashboard.web.paging import Before
from services.dashboard.web.problems import Problem
from services.dashboard.web.service_registry import service_of
from services.dashboard.web.templating import Clock, show
from shared.label_names import LabelName
from shared.language import gettext
from shared.messages import Name, Verdict
from shared.recipe import LabelRole, Task
from shared.validation import marked

PAGE: Final = 48
GROUPED: Final = 192
"""Frames that are read for a page on which neighbouring frames are one tile."""
NEAR: Final = 2
"""Most by which the sequences of two neighbouring frames of a session differ."""
ORDERS: Final = {
    FrameOrder.NEWEST: marked("newest first"),
    FrameOrder.SCORE: marked("highest score of the label"),
    FrameOrder.THRESHOLD: marked("nearest to the threshold"),
}
MORE_FILTERS: Final = ("camera", "batch", "part", "model", "score_from", "score_to")
"""Fields of the menu *More filters*."""
_NAME: Final = TypeAdapter[str](Name)
_LABEL: Final = TypeAdapter[str | None](LabelName | None)

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True)
class FrameGroup:
    """Neighbouring NG frames with the same reason, which probably show the same defect; or a single frame."""

    frames: list[FrameView]
    """In the order of the search."""

    @property
    def worst(self) -> FrameView:
        """The frame whose fault is farthest beyond its threshold."""
        return max(self.frames, key=severity)

    @property
    def first(self) -> FrameView:
        """The frame that was captured first."""
        return min(self.frames, key=lambda frame: frame.captured_at)

    @property
    def last(self) -> FrameView:
        """The frame that was captured last."""
        return max(self.frames, key=lambda frame: frame.captured_at)


def group_frames(frames: Sequence[FrameView]) -> list[FrameGroup]:
    """Group neighbouring NG frames with the same reason; return the groups in the order of their first frames."""
    group_of: dict[str, FrameGroup] = {}
    before: FrameView | None = None
    for frame in sorted(frames, key=lambda frame: frame.frame_id):
        is_neighbour = before is not None and _are_neighbours(before, frame)
        group_of[frame.frame_id] = group_of[before.frame_id] if before and is_neighbour else FrameGroup([])
        before = frame
    for frame in frames:
        group_of[frame.frame_id].frames.append(frame)
    return list({id(group): group for group in (group_of[frame.frame_id] for frame in frames)}.values())


def _are_neighbours(one: FrameView, other: FrameView) -> bool:
    (session, sequence), (other_session, other_sequence) = (frame.frame_id.split("-") for frame in (one, other))
    return (
        one.verdict is other.verdict is Verdict.NG
        and (one.reason, one.part, session) == (other.reason, other.part, other_session)
        and abs(int(sequence) - int(other_sequence)) <= NEAR
    )


@router.get("/frames")
def show_frames(
    request: Request,
    frames: Frames,
    marks: MarkedFrames,
    names: Names,
    *,
    lines: Lines,
    fields: Fields,
    before: Before = None,
) -> HTMLResponse:
    """Show the search: by line, time, label, verdict, batch, part, model and score."""
    context = {
        "fields": fields,
        "choices": lines.choices(fields.get("line")),
        "names": names.by_version(),
        "verdicts": list(Verdict),
        "orders": ORDERS,
        "periods": lines.periods(datetime.now(UTC)),
        "second": timedelta(seconds=1),
        "query": fields.address("", before=None, group=None) or "?line=",
        "by_score": fields.get("order") not in (None, FrameOrder.NEWEST.value),
        "more_filters": sum(bool(fields.get(name)) for name in MORE_FILTERS),
    }
    try:
        frame_filter = filter_of_form(fields, service_of(request, Clock))
        in_groups = fields.get("group") != "no"
        found = frames.search(frame_filter, before, GROUPED if in_groups else PAGE)
    except Problem as problem:
        return show(request, "frames.html", "frames", problem=problem.details, **context)
    groups = group_frames(found.frames) if in_groups else [FrameGroup([frame]) for frame in found.frames]
    marked = marks.marked_among(found.frames)
    return show(request, "frames.html", "frames", found=found, groups=groups, marked=marked, **context)


@router.get("/frames/{frame_id}")
def show_frame(
    request: Request,
    frames: Frames,
    models: Models,
    names: Names,
    marks: MarkedFrames,
    *,
    frame_id: FrameId,
    fields: Fields,
) -> HTMLResponse:
    """Show one frame: its image, its heatmaps, its scores with their thresholds, and the way to its neighbours.

    The address may hold a search: then the neighbours are of that search, else of the same line and verdict.
    """
    frame = frames.get(frame_id)
    searched = filter_of_form(fields, service_of(request, Clock)) if fields.values else None
    newer, older = frames.neighbours(frame_id, searched or FrameFilter(line=frame.line, verdict=frame.verdict))
    labels = {label.name: label for label in models.labels(frame.recipe, frame.model_version)}
    named = [label for label in frame.faults if label not in labels or labels[label].role is not LabelRole.QUALITY]
    shown = named or frame.faults or list(frame.heatmaps)
    return show(
        request,
        "frame.html",
        "frames",
        frame=frame,
        names=names.of(frame.recipe),
        labels=labels,
        exclusive=models.task(frame.recipe, frame.model_version) is Task.EXCLUSIVE,
        shown=shown,
        mark=marks.find(frame),
        newer=newer,
        older=older,
        fields=fields,
        query=fields.address(""),
    )


def filter_of_form(fields: FormFields, clock: Clock) -> FrameFilter:
    """Return the filter of a form.

    Raises:
        Problem: 422: a field has an invalid value.
    """
    try:
        verdict, low, high = fields.get("verdict"), fields.get("score_from"), fields.get("score_to")
        order = fields.get("order")
        return FrameFilter(
            line=_name(fields, "line"),
            camera=_name(fields, "camera"),
            label=_LABEL.validate_python(fields.get("label")),
            batch=_name(fields, "batch"),
            part=_name(fields, "part"),
            model=_name(fields, "model"),
            verdict=Verdict(verdict) if verdict else None,
            first=fields.time("from", clock),
            last=fields.time("to", clock),
            score_from=float(low) if low else None,
            score_to=float(high) if high else None,
            order=FrameOrder(order) if order else FrameOrder.NEWEST,
        )
    except (ValidationError, ValueError) as error:
        raise Problem(422, gettext("a field has an invalid value: names are letters, digits, _ and -")) from error


def _name(fields: FormFields, field: str) -> str | None:
    value = fields.get(field)
    return _NAME.validate_python(value) if value else None

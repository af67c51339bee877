"""The pages of labelling: what there is to label, the desk, who said what, and how far people agree."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Form, Query, Request
from fastapi.responses import HTMLResponse
from pydantic import TypeAdapter, ValidationError

from services.dashboard.access import Audited, Engineer, Viewer
from services.dashboard.labelling.annotations.annotation import FrameKey, Reading, RecordId, SourceId
from services.dashboard.labelling.assembly import LabellingRoom
from services.dashboard.labelling.endpoints import Labelling, Making, SourceName
from services.dashboard.labelling.schemas import DatasetOrder, Queue
from services.dashboard.labelling.service import LabellingService, Wanted
from services.dashboard.web.form import Fields, FormFields
from services.dashboard.web.paging import Before, Paging, cursor_of, place_of
from services.dashboard.web.problems import Problem
from services.dashboard.web.services import service_of
from services.dashboard.web.templating import Clock, show
from shared.messages import Name

QUEUES: Final = {
    Queue.ALL: "All frames",
    Queue.UNLABELLED: "Not labelled yet",
    Queue.LABELLED: "Labelled",
    Queue.MARKED: "Marked as wrong",
    Queue.UNCERTAIN: "Model unsure",
    Queue.DISAGREEMENT: "Labelled otherwise than judged",
    Queue.SECOND: "Second reading",
    Queue.CONTRADICTIONS: "Contradictions to settle",
}
READINGS: Final = {Reading.FIRST: "first", Reading.SECOND: "second", Reading.SETTLED: "settled"}
RECORDS: Final = 100
SOURCES: Final = 200
"""As many as one dataset can be made of."""
_SOURCE: Final = TypeAdapter[str](SourceId)

router = APIRouter(include_in_schema=False)


def _part(before: Before = None) -> Paging:
    return Paging(place_of(before), SOURCES)


Part = Annotated[Paging, Depends(_part)]


@router.get("/labelling")
def show_sources(request: Request, labelling: Labelling, part: Part) -> HTMLResponse:
    """What there is to label, and how far people are."""
    return _overview(request, labelling, part)


@router.post("/labelling/datasets")
def make_dataset(
    request: Request,
    labelling: Labelling,
    datasets: Making,
    caller: Engineer,
    audit: Audited,
    *,
    part: Part,
    name: Annotated[str, Form(max_length=64)] = "",
    sources: Annotated[list[str] | None, Form()] = None,
) -> HTMLResponse:
    """Make a dataset of what is labelled, then show the page again."""
    try:
        order = DatasetOrder(name=name.strip(), sources=sources or [])
        with audit.recording("dataset.make", f"datasets/{order.name}", caller.name, sources=list(order.sources)):
            made = datasets.make(order)
    except ValidationError:
        text = "Choose one source or more, and a name of letters, digits, _ and -"
        return _overview(request, labelling, part, chosen=sources, name=name, refused=text)
    except Problem as problem:
        return _overview(request, labelling, part, chosen=sources, name=name, refused=problem.details.detail)
    return _overview(request, labelling, part, made=made)


@router.get("/labelling/history")
def show_history(
    request: Request, labelling: Labelling, fields: Fields, before: Annotated[RecordId | None, Query()] = None
) -> HTMLResponse:
    """Who labelled what when."""
    context: dict[str, Any] = {
        "fields": fields,
        "sources": labelling.names(),
        "people": labelling.people(),
        "readings": READINGS,
    }
    try:
        page = labelling.records(_wanted(fields, service_of(request, Clock)), before, RECORDS)
    except Problem as problem:
        return show(request, "labelled.html", "labelling", problem=problem.details, **context)
    return show(request, "labelled.html", "labelling", found=page, **context)


@router.get("/labelling/{source}")
def show_desk(
    request: Request,
    labelling: Labelling,
    source: SourceName,
    caller: Viewer,
    *,
    queue: Annotated[Queue | None, Query()] = None,
    line: Annotated[Name | None, Query()] = None,
    frame: Annotated[FrameKey | None, Query()] = None,
) -> HTMLResponse:
    """The desk at which frames are labelled; without a place, at the first frame that nobody labelled."""
    view = labelling.source(source)
    chosen = queue or view.queues[0]
    page = labelling.queue(source, chosen, by=caller.name, line=line, limit=1)
    place = labelling.place_in_video(source, frame) if chosen is Queue.ALL else 0
    return show(
        request,
        "desk.html",
        "labelling",
        source=view,
        queue=chosen,
        queues=QUEUES,
        work=page,
        place=place,
        line=line,
        lines=[] if view.video else labelling.lines(),
        wanted=frame if chosen is not Queue.ALL else None,
    )


@router.get("/labelling/{source}/agreement")
def show_agreement(request: Request, labelling: Labelling, source: SourceName) -> HTMLResponse:
    """How far two people agree, and where they contradict each other."""
    return show(
        request,
        "agreement.html",
        "labelling",
        source=labelling.source(source),
        agreement=labelling.agreement(source),
    )


def _overview(request: Request, labelling: LabellingService, part: Paging, **context: Any) -> HTMLResponse:
    room = service_of(request, LabellingRoom)
    clock = service_of(request, Clock)
    return show(
        request,
        "labelling.html",
        "labelling",
        found=labelling.sources(part),
        fields=FormFields({"before": cursor_of(part.after)} if part.after else {}),
        recipes=labelling.recipes(),
        queues=QUEUES,
        upload_bytes=room.upload_bytes,
        suggested=clock(datetime.now(UTC), "labelled-%Y-%m-%d"),
        **context,
    )


def _wanted(fields: FormFields, clock: Clock) -> Wanted:
    """What the form asks for.

    Raises:
        Problem: 422: a field has no value of its kind.
    """
    try:
        source, reading = fields.get("source"), fields.get("reading")
        return Wanted(
            source=_SOURCE.validate_python(source) if source else None,
            by=fields.get("by"),
            label=fields.get("label"),
            reading=Reading(reading) if reading else None,
            first=fields.time("from", clock),
            last=fields.time("to", clock),
        )
    except (ValidationError, ValueError) as error:
        raise Problem(422, "a field has a value that is none of its kind") from error

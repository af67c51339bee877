"""The pages of labelling: the sources, the labelling session, the history, and the agreement."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Form, Query, Request
from fastapi.responses import HTMLResponse
from pydantic import TypeAdapter, ValidationError

from services.dashboard.access.audit import Audited
from services.dashboard.labelling.annotations.annotation import AnnotationId, AnnotationKind, FrameKey, SourceId
from services.dashboard.labelling.assembly import Labelling, Services, SourcePath
from services.dashboard.labelling.schemas import DatasetRequest, FrameQueue
from services.dashboard.labelling.service import AnnotationFilter
from services.dashboard.web.authorization import Engineer, Viewer
from services.dashboard.web.form import Fields, FormFields
from services.dashboard.web.paging import Before, Paging, cursor_of, place_of
from services.dashboard.web.problems import Problem
from services.dashboard.web.service_registry import service_of
from services.dashboard.web.templating import Clock, show
from shared.language import gettext
from shared.messages import Name
from shared.validation import marked

QUEUES: Final = {
    FrameQueue.ALL: marked("All frames"),
    FrameQueue.UNLABELLED: marked("Not labelled yet"),
    FrameQueue.LABELLED: marked("Labelled"),
    FrameQueue.MARKED: marked("Marked as wrong"),
    FrameQueue.UNCERTAIN: marked("Model unsure"),
    FrameQueue.DISAGREEMENT: marked("Labelled otherwise than inspected"),
    FrameQueue.SECOND: marked("Second review"),
    FrameQueue.CONTRADICTIONS: marked("Conflicts to resolve"),
}
ANNOTATIONS: Final = 100
"""Annotations on one page of the history."""
SOURCES: Final = 200
"""Sources on one page: as many as one dataset can be made of."""
_SOURCE_ID: Final = TypeAdapter[str](SourceId)

router = APIRouter(include_in_schema=False)


def source_paging(before: Before = None) -> Paging:
    """Return the requested page of the sources."""
    return Paging(place_of(before), SOURCES)


PagedSources = Annotated[Paging, Depends(source_paging)]


@router.get("/labelling")
def show_sources(
    request: Request, services: Services, paging: PagedSources, recipe: Annotated[str, Query(max_length=64)] = ""
) -> HTMLResponse:
    """Show the sources, and how many of their frames are labelled; the address may hold the recipe of an upload."""
    return _show_sources(request, services, paging, recipe=recipe)


@router.post("/labelling/datasets")
def make_dataset(
    request: Request,
    services: Services,
    caller: Engineer,
    audit: Audited,
    *,
    paging: PagedSources,
    name: Annotated[str, Form(max_length=64)] = "",
    sources: Annotated[list[str] | None, Form()] = None,
) -> HTMLResponse:
    """Make a dataset version of labelled frames, then show the sources again."""
    try:
        body = DatasetRequest(name=name.strip(), sources=sources or [])
        subject = f"datasets/{body.name}"
        with (
            services.export_slots.slot(),
            audit.recording("dataset.make", subject, caller.name, sources=list(body.sources)),
        ):
            made = services.exports.make_dataset(body, by=caller.name)
    except ValidationError:
        text = gettext("Choose one source or more, and a name of letters, digits, _ and -")
        return _show_sources(request, services, paging, chosen=sources, name=name, refused=text)
    except Problem as problem:
        return _show_sources(request, services, paging, chosen=sources, name=name, refused=problem.details.detail)
    return _show_sources(request, services, paging, made=made)


@router.get("/labelling/history")
def show_history(
    request: Request, labelling: Labelling, fields: Fields, before: Annotated[AnnotationId | None, Query()] = None
) -> HTMLResponse:
    """Show who labelled what and when."""
    context: dict[str, Any] = {
        "fields": fields,
        "sources": labelling.names(),
        "people": labelling.people(),
        "kinds": list(AnnotationKind),
    }
    clock, source, kind = service_of(request, Clock), fields.get("source"), fields.get("kind")
    try:
        requested = AnnotationFilter(
            source=_SOURCE_ID.validate_python(source) if source else None,
            by=fields.get("by"),
            label=fields.get("label"),
            kind=AnnotationKind(kind) if kind else None,
            first=fields.time("from", clock),
            last=fields.time("to", clock),
        )
    except ValueError:
        return show(
            request,
            "annotations.html",
            "labelling",
            error=gettext("A field has a value that it can't have."),
            **context,
        )
    page = labelling.annotations(requested, before, ANNOTATIONS)
    return show(request, "annotations.html", "labelling", found=page, **context)


@router.get("/labelling/{source}")
def show_session(
    request: Request,
    labelling: Labelling,
    source: SourcePath,
    caller: Viewer,
    *,
    queue: Annotated[FrameQueue | None, Query()] = None,
    line: Annotated[Name | None, Query()] = None,
    frame: Annotated[FrameKey | None, Query()] = None,
) -> HTMLResponse:
    """Show the labelling session of a queue, at the requested frame or at the first unlabelled one.

    Without a queue, it is the first one of the source that has frames.
    """
    view = labelling.source(source)
    pages = {}
    for chosen in [queue] if queue else view.queues:
        pages[chosen] = labelling.queue(source, chosen, by=caller.name, line=line, limit=1)
        if pages[chosen].total:
            break
    else:
        chosen = next(iter(pages))
    place = labelling.place_in_video(source, frame) if chosen is FrameQueue.ALL else 0
    return show(
        request,
        "session.html",
        "labelling",
        source=view,
        queue=chosen,
        queues=QUEUES,
        frames=pages[chosen],
        place=place,
        line=line,
        lines=[] if view.video else labelling.lines(),
        requested=frame if chosen is not FrameQueue.ALL else None,
    )


@router.get("/labelling/{source}/agreement")
def show_agreement(request: Request, labelling: Labelling, source: SourcePath) -> HTMLResponse:
    """Show how far two people agree, and the contradictions."""
    return show(
        request,
        "agreement.html",
        "labelling",
        source=labelling.source(source),
        agreement=labelling.agreement(source),
    )


def _show_sources(request: Request, services: Services, paging: Paging, **context: Any) -> HTMLResponse:
    clock = service_of(request, Clock)
    return show(
        request,
        "sources.html",
        "labelling",
        found=services.labelling.sources(paging),
        fields=FormFields({"before": cursor_of(paging.after)} if paging.after else {}),
        recipes=services.labelling.recipes(),
        queues=QUEUES,
        upload_bytes=services.upload_bytes,
        suggested=f"labelled-{clock.field(datetime.now(UTC))[:10]}",
        **context,
    )

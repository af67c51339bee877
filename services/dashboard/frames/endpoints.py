"""The endpoints of frames: ``/api/frames``."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Path, Query, Response

from services.dashboard.access.audit import Audited
from services.dashboard.frames.filter import FrameFilter, FrameOrder
from services.dashboard.frames.marks import Marks
from services.dashboard.frames.schemas import (
    ExplanationState,
    ExplanationView,
    FramePage,
    FrameView,
    Mark,
    MarkList,
    MarkRequest,
)
from services.dashboard.frames.service import FramesService, ServedImage
from services.dashboard.web.authorization import Operator, at_least
from services.dashboard.web.callers import Role
from services.dashboard.web.paging import Before
from services.dashboard.web.problems import documented
from services.dashboard.web.query_times import QueryTime
from services.dashboard.web.service_registry import provided
from shared.label_names import LabelName, LabelSlug
from shared.language import reported
from shared.messages import FrameId as FrameIdRule
from shared.messages import Name, Verdict

router = APIRouter(prefix="/api/frames", tags=["frames"], dependencies=[at_least(Role.VIEWER)])

CACHED: Final = "private, max-age=86400"
"""Browsers cache images for a day. The files of a frame change only if heatmaps are made again."""


Frames = Annotated[FramesService, provided(FramesService)]
FrameId = Annotated[FrameIdRule, Path(examples=["01JF6Z6TX4W8E1V2M6C3N9Q7RB-000000042"])]
Label = Annotated[LabelSlug, Path(examples=["break"], description="the label's slug, as in `url` of the heatmap")]


def filter_of_query(
    *,
    line: Annotated[Name | None, Query(description="only frames of this line")] = None,
    camera: Annotated[Name | None, Query()] = None,
    verdict: Annotated[Verdict | None, Query()] = None,
    label: Annotated[LabelName | None, Query(description="present or a fault; with a score limit: scored")] = None,
    flagged: Annotated[bool | None, Query(description="only frames that are flagged, or that are not")] = None,
    batch: Annotated[Name | None, Query()] = None,
    part: Annotated[Name | None, Query()] = None,
    model: Annotated[Name | None, Query(description="model version that inspected the frame")] = None,
    first: Annotated[QueryTime | None, Query(alias="from", description="captured at this time or later")] = None,
    last: Annotated[QueryTime | None, Query(alias="to", description="captured before this time")] = None,
    score_from: Annotated[float | None, Query(ge=0, le=1, description="the lowest score of the label")] = None,
    score_to: Annotated[float | None, Query(ge=0, le=1, description="the highest score of the label")] = None,
    order: Annotated[
        FrameOrder,
        Query(description="`score`: the highest score of the label first; `threshold`: nearest to the threshold first"),
    ] = FrameOrder.NEWEST,
) -> FrameFilter:
    return FrameFilter(
        line, verdict, label, flagged, batch, part, camera, first, last, score_from, score_to, order, model
    )


Filter = Annotated[FrameFilter, Depends(filter_of_query)]
MarkedFrames = Annotated[Marks, provided(Marks)]


@router.get("", responses=documented(401, 422, 503))
def search_frames(
    frames: Frames,
    frame_filter: Filter,
    before: Before = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> FramePage:
    """Return the newest matching frames in pages; or, with an order by score, the first ones in one page.

    A page may hold fewer frames than `limit`, or none, and still have a `next`: each request searches 2,000
    frames at most.
    """
    return frames.search(frame_filter, before, limit)


@router.get("/marked", responses=documented(401, 422, 503))
def list_marked(
    marks: MarkedFrames,
    line: Annotated[Name | None, Query(description="only frames of this line")] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> MarkList:
    """Return the frames whose verdict a person calls wrong, by capture time, newest first."""
    return marks.newest(line, limit)


@router.get("/{frame_id}", responses=documented(401, 404, 422, 503))
def get_frame(frames: Frames, frame_id: FrameId) -> FrameView:
    """Return one frame: its verdict, its scores, its model, and the addresses of its images."""
    return frames.get(frame_id)


@router.put("/{frame_id}/mark", responses=documented(401, 403, 404, 422, 503))
def mark_frame(marks: MarkedFrames, frame_id: FrameId, body: MarkRequest, caller: Operator, audit: Audited) -> Mark:
    """Mark the verdict of a frame as wrong, for labelling. A second request replaces the note."""
    with audit.recording("frame.mark", frame_id, caller.name, note=body.note):
        return marks.mark(frame_id, body.note, by=caller.name)


@router.delete("/{frame_id}/mark", status_code=204, responses=documented(401, 403, 404, 422, 503))
def unmark_frame(marks: MarkedFrames, frame_id: FrameId, caller: Operator, audit: Audited) -> None:
    """Remove the mark of a frame."""
    with audit.recording("frame.unmark", frame_id, caller.name):
        marks.unmark(frame_id)


Labels = Annotated[list[LabelName] | None, Query(description="labels of the heatmaps; none: the explainer chooses")]
UNDER_WAY: Final[dict[int | str, dict[str, Any]]] = {202: {"model": ExplanationView, "description": "Under way"}}


@router.get("/{frame_id}/explanation", responses={**UNDER_WAY, **documented(401, 404, 422, 503)})
def get_explanation(frames: Frames, frame_id: FrameId, response: Response, *, label: Labels = None) -> ExplanationView:
    """Return the heatmaps of a frame, or the state of their request.

    200 if they are there. 202 while the explainer makes them: ask again, here or at `frame_url` (`Location`); the live
    stream has an event of the frame as well. 404 if they were not requested in the last minute: POST here.
    """
    return _answered(frames.explanation(frame_id, label or ()), response)


@router.post("/{frame_id}/explanation", responses={**UNDER_WAY, **documented(401, 403, 404, 422, 503)})
def explain_frame(
    frames: Frames, frame_id: FrameId, caller: Operator, response: Response, *, label: Labels = None
) -> ExplanationView:
    """Request the heatmaps of any frame whose image is stored.

    200 if they are there, 202 while the explainer makes them. Repeated requests reach the explainer once.
    """
    return _answered(frames.explain(frame_id, label or (), by=caller.name), response)


def _answered(view: ExplanationView, response: Response) -> ExplanationView:
    """Set the status of an answer, and translate the reason why there are no heatmaps."""
    if view.state is ExplanationState.UNDER_WAY:
        response.status_code = 202
        response.headers.update({"Location": view.frame_url, "Retry-After": "1"})
    return view.model_copy(update={"reason": reported(view.reason)})


IMAGE: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {"image/jpeg": {}, "image/png": {}}, "description": "The image"}
}


@router.get("/{frame_id}/image", response_class=Response, responses={**IMAGE, **documented(401, 404, 422, 503)})
def get_image(frames: Frames, frame_id: FrameId) -> Response:
    """Return the image that the camera captured."""
    return _file_response(frames.image(frame_id))


@router.get("/{frame_id}/overlay", response_class=Response, responses={**IMAGE, **documented(401, 404, 422, 503)})
def get_overlay(frames: Frames, frame_id: FrameId) -> Response:
    """Return the image with the heatmaps over it, in the recipe's colours."""
    return _file_response(frames.overlay(frame_id))


@router.get(
    "/{frame_id}/heatmaps/{label}", response_class=Response, responses={**IMAGE, **documented(401, 404, 422, 503)}
)
def get_heatmap(frames: Frames, frame_id: FrameId, label: Label) -> Response:
    """Return the heatmap of one label."""
    return _file_response(frames.heatmap(frame_id, label))


def _file_response(image: ServedImage) -> Response:
    headers = {"Cache-Control": CACHED, "Content-Disposition": "inline"}
    return Response(image.content, media_type=image.content_type, headers=headers)

"""``/api/frames``."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Path, Query, Response

from services.dashboard.access import Audited, Operator, Role, at_least
from services.dashboard.frames.filter import Wanted
from services.dashboard.frames.marks import Mark, MarkList, MarkOrder, Marks
from services.dashboard.frames.schemas import ExplanationState, ExplanationView, FramePage, FrameView
from services.dashboard.frames.service import FramesService, Image
from services.dashboard.web.paging import Before
from services.dashboard.web.problems import documented
from services.dashboard.web.services import provided
from services.dashboard.web.times import QueryTime
from shared.messages import FrameId as FrameIdRule
from shared.messages import Name, Verdict

router = APIRouter(prefix="/api/frames", tags=["frames"], dependencies=[at_least(Role.VIEWER)])

KEPT = "private, max-age=86400"
"""For images: what is under a frame's address does not change, but for a heatmap that is made again."""


Frames = Annotated[FramesService, provided(FramesService)]
FrameId = Annotated[FrameIdRule, Path(examples=["01JF6Z6TX4W8E1V2M6C3N9Q7RB-000000042"])]
Label = Annotated[Name, Path(examples=["break"])]


def _wanted(
    *,
    line: Annotated[Name | None, Query(description="of this line only")] = None,
    camera: Annotated[Name | None, Query()] = None,
    verdict: Annotated[Verdict | None, Query()] = None,
    label: Annotated[Name | None, Query(description="present, or at fault; or with a score as asked for")] = None,
    flagged: Annotated[bool | None, Query(description="worth explaining: NG, or unsure")] = None,
    batch: Annotated[Name | None, Query()] = None,
    part: Annotated[Name | None, Query()] = None,
    first: Annotated[QueryTime | None, Query(alias="from", description="captured then or later")] = None,
    last: Annotated[QueryTime | None, Query(alias="to", description="captured before")] = None,
    score_from: Annotated[float | None, Query(ge=0, le=1, description="of the label, at least")] = None,
    score_to: Annotated[float | None, Query(ge=0, le=1, description="of the label, at most")] = None,
) -> Wanted:
    return Wanted(line, verdict, label, flagged, batch, part, camera, first, last, score_from, score_to)


WantedFrames = Annotated[Wanted, Depends(_wanted)]
MarkedFrames = Annotated[Marks, provided(Marks)]


@router.get("", responses=documented(401, 422, 503))
def search_frames(
    frames: Frames,
    wanted: WantedFrames,
    before: Before = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> FramePage:
    """The newest frames that fit, a page at a time.

    A page may hold fewer than `limit`, even none, and still have a `next`: a request looks at 2,000 frames at most.
    """
    return frames.search(wanted, before, limit)


@router.get("/marked", responses=documented(401, 422, 503))
def list_marked(
    marks: MarkedFrames,
    line: Annotated[Name | None, Query(description="of this line only")] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> MarkList:
    """The frames whose verdict somebody holds to be wrong, for labelling; those captured last first."""
    return marks.newest(line, limit)


@router.get("/{frame_id}", responses=documented(401, 404, 422, 503))
def get_frame(frames: Frames, frame_id: FrameId) -> FrameView:
    """One frame: what was found, by which model, and where the images are."""
    return frames.get(frame_id)


@router.put("/{frame_id}/mark", responses=documented(401, 403, 404, 422, 503))
def mark_frame(marks: MarkedFrames, frame_id: FrameId, order: MarkOrder, caller: Operator, audit: Audited) -> Mark:
    """Say that the verdict is wrong, and keep the frame for labelling. Doing so again replaces the note."""
    with audit.recording("frame.mark", frame_id, caller.name, note=order.note):
        return marks.mark(frame_id, order.note, by=caller.name)


@router.delete("/{frame_id}/mark", status_code=204, responses=documented(401, 403, 404, 422, 503))
def unmark_frame(marks: MarkedFrames, frame_id: FrameId, caller: Operator, audit: Audited) -> None:
    """Take the mark back."""
    with audit.recording("frame.unmark", frame_id, caller.name):
        marks.unmark(frame_id)


Labels = Annotated[list[Name] | None, Query(description="whose heatmaps; none: what flagged or what it shows")]
UNDER_WAY: Final[dict[int | str, dict[str, Any]]] = {202: {"model": ExplanationView, "description": "Under way"}}


@router.get("/{frame_id}/explanation", responses={**UNDER_WAY, **documented(401, 404, 422, 503)})
def get_explanation(frames: Frames, frame_id: FrameId, response: Response, *, label: Labels = None) -> ExplanationView:
    """The heatmaps of a frame, or how far they are.

    200 when they are there. 202 while the explainer makes them: look again, or at `frame_url` (`Location`); the live
    stream tells of the frame as well. 404 when nobody has asked for them within the last minute: POST here.
    """
    return _tell(frames.explanation(frame_id, label or ()), response)


@router.post("/{frame_id}/explanation", responses={**UNDER_WAY, **documented(401, 403, 404, 422, 503)})
def explain_frame(
    frames: Frames, frame_id: FrameId, caller: Operator, response: Response, *, label: Labels = None
) -> ExplanationView:
    """Ask for the heatmaps of any frame whose image is kept.

    200 when they are there, 202 when the explainer makes them. It is asked once however often this is.
    """
    return _tell(frames.explain(frame_id, label or (), by=caller.name), response)


def _tell(view: ExplanationView, response: Response) -> ExplanationView:
    if view.state is ExplanationState.UNDER_WAY:
        response.status_code = 202
        response.headers.update({"Location": view.frame_url, "Retry-After": "1"})
    return view


IMAGE: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {"image/jpeg": {}, "image/png": {}}, "description": "The image"}
}


@router.get("/{frame_id}/image", response_class=Response, responses={**IMAGE, **documented(401, 404, 422, 503)})
def get_image(frames: Frames, frame_id: FrameId) -> Response:
    """What the camera saw."""
    return _show(frames.image(frame_id))


@router.get("/{frame_id}/overlay", response_class=Response, responses={**IMAGE, **documented(401, 404, 422, 503)})
def get_overlay(frames: Frames, frame_id: FrameId) -> Response:
    """The image with the heatmaps over it, in the recipe's colours."""
    return _show(frames.overlay(frame_id))


@router.get(
    "/{frame_id}/heatmaps/{label}", response_class=Response, responses={**IMAGE, **documented(401, 404, 422, 503)}
)
def get_heatmap(frames: Frames, frame_id: FrameId, label: Label) -> Response:
    """The heatmap of one label."""
    return _show(frames.heatmap(frame_id, label))


def _show(image: Image) -> Response:
    headers = {"Cache-Control": KEPT, "Content-Disposition": "inline"}
    return Response(image.content, media_type=image.content_type, headers=headers)

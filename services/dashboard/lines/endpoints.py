"""The endpoints of lines and workers: ``/api/lines`` and ``/api/workers``."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final
from urllib.parse import quote

from fastapi import APIRouter, Path, Query, Request, Response

from services.dashboard.access.audit import Audited
from services.dashboard.lines.camera_images import CameraImages
from services.dashboard.lines.schemas import LineAccounting, LineList, LineStatistics, LineView, OutputTest, WorkerView
from services.dashboard.lines.service import LinesService
from services.dashboard.statistics.buckets import BucketLength
from services.dashboard.web.authorization import Engineer, at_least
from services.dashboard.web.callers import Role
from services.dashboard.web.problems import documented
from services.dashboard.web.query_times import QueryTime
from services.dashboard.web.service_registry import provided
from shared.language import reported
from shared.messages import Name

router = APIRouter(prefix="/api", tags=["lines"], dependencies=[at_least(Role.VIEWER)])


Lines = Annotated[LinesService, provided(LinesService)]
Line = Annotated[Name, Path(examples=["line-1"])]


@router.get("/lines", responses=documented(401, 503))
def list_lines(lines: Lines) -> LineList:
    """Return the present state of all lines."""
    return LineList(lines=lines.states())


@router.get("/lines/{line}", responses=documented(401, 404, 422, 503))
def get_line(lines: Lines, line: Line) -> LineView:
    """Return the present state of a line."""
    return lines.state(line)


@router.get("/lines/{line}/accounting", responses=documented(401, 404, 422, 503))
def get_accounting(lines: Lines, line: Line) -> LineAccounting:
    """Return what became of every frame of a line: captured = inspected + dropped + parked + in flight."""
    return lines.accounting(line)


@router.get("/lines/{line}/rates", responses=documented(401, 404, 422, 503))
def get_rates(
    lines: Lines,
    line: Line,
    first: Annotated[QueryTime | None, Query(alias="from", description="an hour before `to` when left out")] = None,
    last: Annotated[QueryTime | None, Query(alias="to", description="now when left out")] = None,
    step: BucketLength = BucketLength.MINUTE,
) -> LineStatistics:
    """Return the defect rates of a line and of its labels by capture time (UTC)."""
    last = last or datetime.now(UTC)
    return lines.rates(line, step, first or last - timedelta(hours=1), last)


@router.post("/lines/{line}/outputs/{output}/tests", status_code=202, responses=documented(401, 403, 404, 422, 503))
def send_test_signal(
    lines: Lines, line: Line, output: Annotated[Name, Path(examples=["gate"])], caller: Engineer, audit: Audited
) -> OutputTest:
    """Send a signal that is marked as a test through an output of a line: the receiver gets it as it gets a part."""
    with audit.recording("output.test", f"{line}/{output}", caller.name):
        return lines.test_output(line, output, caller.name)


IMAGE: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "content": {"image/jpeg": {}, "image/png": {}},
        "description": "The image; the headers Frame-Id, Captured-At, Verdict and Reason (percent-encoded) say of what",
    },
    304: {"description": "The caller has this image already"},
}


@router.get(
    "/lines/{line}/cameras/{camera}/image",
    response_class=Response,
    responses={**IMAGE, **documented(401, 404, 422, 503)},
)
def get_live_image(
    request: Request,
    lines: Lines,
    images: Annotated[CameraImages, provided(CameraImages)],
    line: Line,
    camera: Annotated[Name, Path(examples=["camera-1"])],
) -> Response:
    """Return the newest inspected image of a camera; workers replace it about once a second."""
    lines.check(line)
    image = images.get(line, camera)
    frame = image.live_frame.frame
    headers = {
        "Cache-Control": "private, no-cache",
        "ETag": f'"{frame.frame_id}"',
        "Frame-Id": frame.frame_id,
        "Captured-At": frame.captured_at.isoformat(),
        "Verdict": image.live_frame.verdict.value,
        "Reason": quote(reported(image.live_frame.reason)),
    }
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    return Response(image.content, media_type=f"image/{image.live_frame.encoding}", headers=headers)


@router.get("/workers", responses=documented(401, 503))
def list_workers(lines: Lines) -> list[WorkerView]:
    """Return the inference workers and explainers that sent a report in the last hour."""
    return lines.workers()

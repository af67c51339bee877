"""``/api/labelling``."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from services.dashboard.access import Audited, Engineer, Role, Viewer, at_least
from services.dashboard.labelling.annotations.annotation import FrameKey, Reading, RecordId, SourceId
from services.dashboard.labelling.assembly import LabellingRoom
from services.dashboard.labelling.exports.building import DatasetMaker
from services.dashboard.labelling.exports.export import Exports
from services.dashboard.labelling.schemas import (
    AgreementView,
    DatasetMade,
    DatasetOrder,
    FrameToLabel,
    LabelOrder,
    Queue,
    QueuePage,
    RecordPage,
    RecordView,
    SourceList,
    SourceView,
    UndoOrder,
)
from services.dashboard.labelling.service import LabellingService, Wanted
from services.dashboard.labelling.videos.downloading import Download
from services.dashboard.labelling.videos.uploading import BODY, LARGEST, Upload, received
from services.dashboard.web.paging import Paged
from services.dashboard.web.problems import documented
from services.dashboard.web.services import service_of
from services.dashboard.web.times import QueryTime
from shared.messages import Name

router = APIRouter(prefix="/api/labelling", tags=["labelling"], dependencies=[at_least(Role.VIEWER)])

KEPT: Final = "private, max-age=86400"
"""For images: what is under a frame's address does not change."""
SPOOLED_BYTES: Final = 32 * 1024**2


def _labelling(request: Request) -> LabellingService:
    room = service_of(request, LabellingRoom)
    return room.service


def _exports(request: Request) -> Exports:
    room = service_of(request, LabellingRoom)
    return room.exports


def _datasets(request: Request) -> DatasetMaker:
    room = service_of(request, LabellingRoom)
    return room.datasets


def _upload_place(request: Request) -> Iterator[None]:
    room = service_of(request, LabellingRoom)
    with room.uploads.place():
        yield


def _download_place(request: Request) -> Iterator[None]:
    room = service_of(request, LabellingRoom)
    with room.downloads.place():
        yield


Labelling = Annotated[LabellingService, Depends(_labelling)]
Exported = Annotated[Exports, Depends(_exports)]
Making = Annotated[DatasetMaker, Depends(_datasets)]
UploadPlace = Annotated[None, Depends(_upload_place, scope="function")]
"""Asked for after the role, and given back before the answer: whoever has it may upload the next video at once."""
DownloadPlace = Annotated[None, Depends(_download_place)]
"""Held until the answer is sent."""
SourceName = Annotated[SourceId, Path(examples=["line-seam"])]
Frame = Annotated[FrameKey, Path(examples=["12"])]


@router.get("/sources", responses=documented(401, 422, 503))
def list_sources(labelling: Labelling, paging: Paged) -> SourceList:
    """Where frames come from, a page at a time: lines by recipe, then uploaded videos; and how far people are."""
    return labelling.sources(paging)


@router.get("/sources/{source}", responses=documented(401, 404, 422, 503))
def get_source(labelling: Labelling, source: SourceName) -> SourceView:
    """One source, with the labels of its recipe."""
    return labelling.source(source)


@router.post(
    "/videos",
    status_code=201,
    openapi_extra=BODY,
    max_body_size=LARGEST,
    responses=documented(400, 401, 403, 408, 409, 413, 422, 503),
)
async def upload_video(
    request: Request, labelling: Labelling, caller: Engineer, audit: Audited, _place: UploadPlace
) -> SourceView:
    """Upload a video, a zip of images, or images, to be labelled by a recipe.

    It is read from beginning to end first, which takes minutes for a long video, and answered when all of it is in
    object storage. 503 with `Retry-After`: as many uploads as may are under way.
    """
    room = service_of(request, LabellingRoom)

    def take(upload: Upload) -> SourceView:
        recipe = labelling.recipe_for(upload.recipe or None, upload.recipe_yaml or None)
        with audit.recording("video.upload", upload.name[:200], caller.name):
            return labelling.take_video(upload.path, name=upload.name, recipe_yaml=recipe, by=caller.name)

    async with received(request, room.upload_bytes) as upload:
        return await run_in_threadpool(take, upload)


@router.get("/sources/{source}/queue", responses=documented(401, 404, 422, 503))
def get_queue(
    labelling: Labelling,
    source: SourceName,
    caller: Viewer,
    *,
    kind: Annotated[Queue, Query(description="which frames, and in which order")] = Queue.LABELLED,
    line: Annotated[Name | None, Query(description="of this line only")] = None,
    start: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> QueuePage:
    """The frames of a queue.

    Of videos: all, unlabelled, labelled. Of lines: marked (as wrongly judged), uncertain (scores near their thresholds,
    spread over parts and labels), disagreement (labelled otherwise than judged), labelled. Of both: second (to be
    read by another person, who is not shown what the first one said) and contradictions (to be settled).
    """
    return labelling.queue(source, kind, by=caller.name, line=line, start=start, limit=limit)


@router.get("/sources/{source}/frames/{frame}", responses=documented(401, 404, 422, 503))
def get_frame_to_label(
    labelling: Labelling,
    source: SourceName,
    frame: Frame,
    reading: Annotated[Reading, Query(description="second: nothing is told of the first")] = Reading.FIRST,
) -> FrameToLabel:
    """One frame, and what was said of it."""
    return labelling.frame(source, frame, reading)


IMAGE: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {"image/jpeg": {}, "image/png": {}}, "description": "The image"}
}


@router.get(
    "/sources/{source}/frames/{frame}/image",
    response_class=Response,
    responses={**IMAGE, **documented(401, 404, 422, 503)},
)
def get_frame_image(
    labelling: Labelling,
    source: SourceName,
    frame: Frame,
    width: Annotated[int | None, Query(ge=32, le=1920, description="pixels, at most; left out: as it is")] = None,
) -> Response:
    """The image of a frame; that of a video is decoded here."""
    content = labelling.image(source, frame, width)
    kind = "image/png" if content.startswith(b"\x89PNG") else "image/jpeg"
    return Response(content, media_type=kind, headers={"Cache-Control": KEPT, "Content-Disposition": "inline"})


@router.post("/sources/{source}/labels", status_code=201, responses=documented(401, 403, 404, 409, 422, 503))
def label_frames(labelling: Labelling, source: SourceName, order: LabelOrder, caller: Engineer) -> RecordView:
    """Label one frame or several at once. 201 means that it is in object storage, with its author."""
    return labelling.label(source, order, by=caller.name)


@router.post("/sources/{source}/undo", status_code=201, responses=documented(401, 403, 404, 409, 422, 503))
def undo_labels(labelling: Labelling, source: SourceName, order: UndoOrder, caller: Engineer) -> RecordView:
    """Take back what one said oneself: a record more, which says so."""
    return labelling.undo(source, order, by=caller.name)


@router.get("/records", responses=documented(401, 422, 503))
def list_records(
    labelling: Labelling,
    *,
    source: Annotated[SourceId | None, Query()] = None,
    by: Annotated[str | None, Query(max_length=64, description="of this person only")] = None,
    label: Annotated[Name | None, Query(description="said to be true")] = None,
    reading: Annotated[Reading | None, Query()] = None,
    first: Annotated[QueryTime | None, Query(alias="from", description="said then or later")] = None,
    last: Annotated[QueryTime | None, Query(alias="to", description="said before")] = None,
    before: Annotated[RecordId | None, Query(description="`next` of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> RecordPage:
    """Who labelled what when, newest first; also what was undone, and by whom."""
    return labelling.records(Wanted(source, by, label, reading, first, last), before, limit)


@router.get("/sources/{source}/agreement", responses=documented(401, 404, 422, 503))
def get_agreement(
    labelling: Labelling,
    source: SourceName,
    start: Annotated[int, Query(ge=0, le=1_000_000, description="of the contradictions")] = 0,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> AgreementView:
    """Two readings of the same frames: Cohen's kappa per label with its 95 % interval, and the contradictions.

    Counted is what the two said before they knew of each other. A contradiction stays until somebody settles it.
    """
    return labelling.agreement(source, start=start, limit=limit)


CSV: Final[dict[int | str, dict[str, Any]]] = {200: {"content": {"text/csv": {}}, "description": "The table"}}
ZIP: Final[dict[int | str, dict[str, Any]]] = {200: {"content": {"application/zip": {}}, "description": "The archive"}}


@router.get("/sources/{source}/table.csv", response_class=Response, responses={**CSV, **documented(401, 404, 422, 503)})
def get_table(exports: Exported, source: SourceName) -> Response:
    """`<video>_data.csv`: the image's name, then True or False for each label. Contradictions are left out."""
    sheet = exports.sheet(source)
    return Response(exports.table(sheet), media_type="text/csv", headers=_attached(f"{sheet.source.name}_data.csv"))


@router.get(
    "/sources/{source}/archive.zip",
    response_class=StreamingResponse,
    responses={**ZIP, **documented(401, 403, 404, 422, 503)},
)
def get_archive(
    exports: Exported, source: SourceName, caller: Engineer, audit: Audited, _place: DownloadPlace
) -> Download:
    """The table with its images, groups and authors: unpacked, a folder that a trainer learns from.

    It takes the plant's images away by the thousand, so it takes an engineer, and is in the audit log. 503 with
    `Retry-After`: as many exports as may are under way. Whoever takes nothing of it for a minute loses the place.
    """
    sheet = exports.sheet(source)
    with audit.recording("images.export", source, caller.name, images=len(sheet.learnable)):
        file = tempfile.SpooledTemporaryFile(SPOOLED_BYTES)  # noqa: SIM115  the response closes it
        exports.archive(sheet, file)
    return Download(file, "application/zip", _attached(f"{sheet.source.name}.zip"))


@router.post("/datasets", status_code=201, responses=documented(401, 403, 404, 409, 422, 503))
def make_dataset(datasets: Making, order: DatasetOrder, caller: Engineer, audit: Audited) -> DatasetMade:
    """Make a dataset of what is labelled; a training that names it keeps it as a version.

    It is answered when all of it is in object storage; until then there is no such dataset. One that could not be made
    may be made again by the same name.
    """
    with audit.recording("dataset.make", f"datasets/{order.name}", caller.name, sources=list(order.sources)):
        return datasets.make(order)


def _attached(name: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}

"""The endpoints of labelling: ``/api/labelling``."""

from __future__ import annotations

import tempfile
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from services.dashboard.access.audit import Audited
from services.dashboard.labelling.annotations.annotation import AnnotationId, AnnotationKind, SourceId
from services.dashboard.labelling.assembly import ExportSlot, FramePath, Labelling, Services, SourcePath, UploadSlot
from services.dashboard.labelling.exports.service import table
from services.dashboard.labelling.imports.service import DATASET_BODY, import_request_of
from services.dashboard.labelling.schemas import (
    AgreementView,
    AnnotationPage,
    AnnotationView,
    DatasetImported,
    DatasetMade,
    DatasetRequest,
    FrameQueue,
    FrameToLabel,
    LabelRequest,
    QueuePage,
    SourceList,
    SourceView,
    UndoRequest,
)
from services.dashboard.labelling.service import AnnotationFilter
from services.dashboard.labelling.videos.transfers import LARGEST, UPLOAD_BODY, Download, Upload, receive_upload
from services.dashboard.web.authorization import Engineer, Viewer, at_least
from services.dashboard.web.callers import Role
from services.dashboard.web.paging import Paged
from services.dashboard.web.problems import documented
from services.dashboard.web.query_times import QueryTime
from shared.imaging.codec import content_type_of
from shared.label_names import LabelName
from shared.messages import Name

router = APIRouter(prefix="/api/labelling", tags=["labelling"], dependencies=[at_least(Role.VIEWER)])

CACHED: Final = "private, max-age=86400"
"""Value of ``Cache-Control`` for images, because the image of a frame never changes."""
MEMORY_BYTES: Final = 32 * 1024**2
"""An archive larger than this is written to a file."""


@router.get("/sources", responses=documented(401, 422, 503))
def list_sources(labelling: Labelling, paging: Paged) -> SourceList:
    """List the sources of frames, a page at a time: lines by recipe, then uploaded videos."""
    return labelling.sources(paging)


@router.get("/sources/{source}", responses=documented(401, 404, 422, 503))
def get_source(labelling: Labelling, source: SourcePath) -> SourceView:
    """Return one source, with the labels of its recipe."""
    return labelling.source(source)


@router.post(
    "/videos",
    status_code=201,
    openapi_extra=UPLOAD_BODY,
    max_body_size=LARGEST,
    responses=documented(400, 401, 403, 408, 409, 413, 422, 503),
)
async def upload_video(
    request: Request, services: Services, caller: Engineer, audit: Audited, _slot: UploadSlot
) -> SourceView:
    """Upload a video, a zip of images, or images, to be labelled by a recipe.

    The file is read from beginning to end, which takes minutes for a long video, and the answer comes when all of it is
    in object storage. 503 with `Retry-After`: no further upload can run at the same time.
    """

    def add(upload: Upload) -> SourceView:
        recipe_yaml = services.labelling.recipe_yaml(upload.recipe, upload.recipe_yaml)
        with audit.recording("video.upload", upload.name[:200], caller.name):
            return services.labelling.add_video(upload.path, name=upload.name, recipe_yaml=recipe_yaml, by=caller.name)

    async with receive_upload(request, services.upload_bytes) as upload:
        return await run_in_threadpool(add, upload)


@router.post(
    "/datasets/import",
    status_code=201,
    openapi_extra=DATASET_BODY,
    max_body_size=LARGEST,
    responses=documented(400, 401, 403, 408, 409, 413, 422, 503),
)
async def import_dataset(
    request: Request, services: Services, caller: Engineer, audit: Audited, _slot: UploadSlot
) -> DatasetImported:
    """Upload a zip of labelled images as the next version of a dataset.

    It may hold tables of labels or of classes, a folder per class, or an export of COCO, YOLO, Pascal VOC, CVAT 1.1,
    Datumaro or Label Studio. A version is made of all of it or of nothing. With `skip_problems`, what can't be used is
    left out and listed.
    """

    def add(upload: Upload) -> DatasetImported:
        import_request = import_request_of(upload)
        with audit.recording("dataset.import", f"datasets/{import_request.name}", caller.name):
            return services.imports.add(upload.path, import_request, file=upload.file_name, by=caller.name)

    async with receive_upload(request, services.upload_bytes) as upload:
        return await run_in_threadpool(add, upload)


@router.get("/sources/{source}/queue", responses=documented(401, 404, 422, 503))
def get_queue(
    labelling: Labelling,
    source: SourcePath,
    caller: Viewer,
    *,
    queue: Annotated[FrameQueue, Query(description="which frames, and in which order")] = FrameQueue.LABELLED,
    line: Annotated[Name | None, Query(description="only frames of this line")] = None,
    start: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> QueuePage:
    """Return the frames of a queue.

    For videos: all, unlabelled, labelled. For lines: marked (as wrongly inspected), uncertain (scores near their
    thresholds, spread over parts and labels), disagreement (labelled otherwise than inspected), labelled. For both:
    second (second annotations, by a person who does not see the first ones) and contradictions (to be adjudicated).
    """
    return labelling.queue(source, queue, by=caller.name, line=line, start=start, limit=limit)


@router.get("/sources/{source}/frames/{frame}", responses=documented(401, 404, 422, 503))
def get_frame_to_label(
    labelling: Labelling,
    source: SourcePath,
    frame: FramePath,
    kind: Annotated[AnnotationKind, Query(description="second: the first annotation is hidden")] = AnnotationKind.FIRST,
) -> FrameToLabel:
    """Return one frame with its annotations."""
    return labelling.frame(source, frame, kind)


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
    source: SourcePath,
    frame: FramePath,
    width: Annotated[int | None, Query(ge=32, le=1920, description="largest width in pixels; default: any")] = None,
) -> Response:
    """Return the image of a frame. That of a video is decoded now."""
    content = labelling.image(source, frame, width)
    media_type = content_type_of(content)
    return Response(content, media_type=media_type, headers={"Cache-Control": CACHED, "Content-Disposition": "inline"})


@router.post("/sources/{source}/labels", status_code=201, responses=documented(401, 403, 404, 409, 422, 503))
def label_frames(labelling: Labelling, source: SourcePath, body: LabelRequest, caller: Engineer) -> AnnotationView:
    """Label one frame or several at once. 201: the annotation is in object storage."""
    return labelling.label(source, body, by=caller.name)


@router.post("/sources/{source}/undo", status_code=201, responses=documented(401, 403, 404, 409, 422, 503))
def undo_annotation(labelling: Labelling, source: SourcePath, body: UndoRequest, caller: Engineer) -> AnnotationView:
    """Undo one's own annotation, by another annotation that says so."""
    return labelling.undo(source, body, by=caller.name)


@router.get("/annotations", responses=documented(401, 422, 503))
def list_annotations(
    labelling: Labelling,
    *,
    source: Annotated[SourceId | None, Query()] = None,
    by: Annotated[str | None, Query(max_length=64, description="only of this person")] = None,
    label: Annotated[LabelName | None, Query(description="only with this label")] = None,
    kind: Annotated[AnnotationKind | None, Query()] = None,
    first: Annotated[QueryTime | None, Query(alias="from", description="made then or later")] = None,
    last: Annotated[QueryTime | None, Query(alias="to", description="made before")] = None,
    before: Annotated[AnnotationId | None, Query(description="`next` of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> AnnotationPage:
    """List who labelled what and when, newest first, including what was undone."""
    return labelling.annotations(AnnotationFilter(source, by, label, kind, first, last), before, limit)


@router.get("/sources/{source}/agreement", responses=documented(401, 404, 422, 503))
def get_agreement(
    labelling: Labelling,
    source: SourcePath,
    start: Annotated[int, Query(ge=0, le=1_000_000, description="first contradiction")] = 0,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> AgreementView:
    """Return how far two people agree: Cohen's kappa per label with its 95 % interval, and the contradictions.

    Kappa is computed from the annotations that were made independently. A contradiction stays until its adjudication.
    """
    return labelling.agreement(source, start=start, limit=limit)


CSV: Final[dict[int | str, dict[str, Any]]] = {200: {"content": {"text/csv": {}}, "description": "The table"}}
ZIP: Final[dict[int | str, dict[str, Any]]] = {200: {"content": {"application/zip": {}}, "description": "The archive"}}


@router.get("/sources/{source}/table.csv", response_class=Response, responses={**CSV, **documented(401, 404, 422, 503)})
def get_table(services: Services, source: SourcePath) -> Response:
    """Return `<video>_data.csv`: the name of each image, then True or False for each label, without contradictions."""
    labelled = services.exports.labelled(source)
    content = table(labelled.source.recipe.label_names, labelled.frames)
    return Response(content, media_type="text/csv", headers=_attached(f"{labelled.source.name}_data.csv"))


@router.get(
    "/sources/{source}/archive.zip",
    response_class=StreamingResponse,
    responses={**ZIP, **documented(401, 403, 404, 422, 503)},
)
def get_archive(
    services: Services, source: SourcePath, caller: Engineer, audit: Audited, _slot: ExportSlot
) -> Download:
    """Return the table with images, groups and authors: unpacked, it is a folder that the trainer reads.

    It takes thousands of the plant's images away, so it needs the role engineer and is in the audit log. 503 with
    `Retry-After`: no further export can run at the same time. A download of which nothing is read for a minute is
    cancelled.
    """
    labelled = services.exports.labelled(source)
    with audit.recording("images.export", source, caller.name, images=len(labelled.grouped)):
        file = tempfile.SpooledTemporaryFile(MEMORY_BYTES)  # noqa: SIM115  the response closes it
        services.exports.write_archive(labelled, file)
    return Download(file, "application/zip", _attached(f"{labelled.source.name}.zip"))


@router.post("/datasets", status_code=201, responses=documented(401, 403, 404, 409, 422, 503))
def make_dataset(
    services: Services, body: DatasetRequest, caller: Engineer, audit: Audited, _slot: ExportSlot
) -> DatasetMade:
    """Make a dataset version of the labelled frames; a training can name it.

    The answer comes when all of it is in object storage; until then, there is no such version. A dataset of the same
    name gets a further version.
    """
    with audit.recording("dataset.make", f"datasets/{body.name}", caller.name, sources=list(body.sources)):
        return services.exports.make_dataset(body, by=caller.name)


def _attached(name: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}

"""The endpoints of line checks: ``/api/lines/{line}/challenge`` and ``/api/lines/{line}/checks``."""

from __future__ import annotations

from itertools import zip_longest
from typing import Annotated, Any, Final

from fastapi import APIRouter, File, Form, Path, Query, Response, UploadFile

from services.dashboard.access.audit import Audited
from services.dashboard.checks.labelled_parts import LabelledPartsService
from services.dashboard.checks.repository import GivenImage
from services.dashboard.checks.schemas import (
    ChallengePartView,
    ChallengeSet,
    CheckList,
    CheckOrder,
    CheckStarted,
    ChosenImages,
    LabelledParts,
)
from services.dashboard.checks.service import MOST_IMAGES, ChecksService
from services.dashboard.lines.endpoints import Line
from services.dashboard.web.authorization import Engineer, Operator, at_least
from services.dashboard.web.callers import Role
from services.dashboard.web.problems import documented
from services.dashboard.web.service_registry import provided
from shared.imaging.codec import content_type_of
from shared.label_names import LabelName
from shared.messages import Expected, FrameId, LineChecked, Name

MOST_BYTES: Final = 64 * 1024**2
"""Of all images of a part together."""

router = APIRouter(prefix="/api/lines/{line}", tags=["checks"], dependencies=[at_least(Role.VIEWER)])

Checks = Annotated[ChecksService, provided(ChecksService)]
Labelled = Annotated[LabelledPartsService, provided(LabelledPartsService)]
Dataset = Annotated[
    str, Query(min_length=1, max_length=200, description="name, or name@version", examples=["seam-2026"])
]
Part = Annotated[Name, Path(examples=["hole-1"])]
CheckId = Annotated[Name, Path(examples=["check-01JF6Z6TX4W8E1V2M6C3N9Q7RB"])]
ImageName = Annotated[str, Path(pattern=r"^[0-9a-f]{64}\.(jpg|png)$", examples=[f"{64 * '0'}.png"])]
Files = Annotated[list[UploadFile], File(description="files of images of the part")]
Frames = Annotated[
    list[FrameId], Form(max_length=MOST_IMAGES, description="inspected frames, whose stored images are copied")
]
Cameras = Annotated[
    list[Name],
    Form(max_length=MOST_IMAGES, description="of the files in their order; without one, camera-1"),
]
Defects = Annotated[list[LabelName], Form(max_length=64, description="labels that have to make the part NG")]


@router.get("/challenge", responses=documented(401, 404, 422, 503))
def get_challenge_set(checks: Checks, line: Line) -> ChallengeSet:
    """Return the challenge set of a line: parts whose verdicts are known."""
    return checks.challenge(line)


@router.get("/challenge/labelled", responses=documented(401, 404, 409, 422, 503))
def list_labelled_images(
    labelled: Labelled,
    line: Line,
    dataset: Dataset,
    label: Annotated[LabelName | None, Query(description="only images with this label")] = None,
    start: Annotated[int, Query(ge=0, le=10_000_000, description="images to skip")] = 0,
) -> LabelledParts:
    """Return labelled images of a dataset, with the verdict that their labels mean by the recipe of the line."""
    return labelled.offered(line, dataset, label, start)


@router.post("/challenge/labelled", status_code=201, responses=documented(401, 403, 404, 409, 422, 503))
def add_labelled_images(
    labelled: Labelled, line: Line, chosen: ChosenImages, caller: Engineer, audit: Audited
) -> list[ChallengePartView]:
    """Store labelled images of a dataset as parts of the challenge set: their labels say what is expected."""
    with audit.recording("challenge.set", line, caller.name, dataset=chosen.dataset, images=len(chosen.places)):
        return labelled.add(line, chosen.dataset, chosen.places, by=caller.name)


@router.get("/challenge/labelled/image", response_class=Response, responses=documented(401, 404, 422, 503))
def get_labelled_image(
    labelled: Labelled, line: Line, dataset: Dataset, name: Annotated[str, Query(max_length=1_000)]
) -> Response:
    """Return a labelled image of a dataset, small."""
    content = labelled.thumbnail(line, dataset, name)
    return Response(content, media_type=content_type_of(content), headers={"Cache-Control": "private, max-age=86400"})


@router.put("/challenge/{part}", max_body_size=MOST_BYTES, responses=documented(400, 401, 403, 404, 409, 413, 422, 503))
def put_challenge_part(
    checks: Checks,
    line: Line,
    part: Part,
    caller: Engineer,
    audit: Audited,
    *,
    expected: Annotated[Expected, Form()],
    images: Files = [],  # noqa: B006  FastAPI copies it
    cameras: Cameras = [],  # noqa: B006
    frames: Frames = [],  # noqa: B006
    defects: Defects = [],  # noqa: B006
    fed: Annotated[bool, Form(description="a real part, which can be fed to the cameras; it needs no images")] = False,
) -> ChallengePartView:
    """Store a part of the challenge set, whole, in place of one of the same name.

    A part has uploaded images, or the stored images of inspected frames, or both; or it is a real part.
    """
    with audit.recording("challenge.set", f"{line}/{part}", caller.name, expected=expected, defects=list(defects)):
        given = given_images(images, cameras, frames)
        return checks.put_part(line, part, expected, defects, given, fed=fed, by=caller.name)


@router.delete("/challenge/{part}", status_code=204, responses=documented(401, 403, 404, 422, 503))
def remove_challenge_part(checks: Checks, line: Line, part: Part, caller: Engineer, audit: Audited) -> None:
    """Remove a part from the challenge set. Its images stay, because records of checks name them."""
    with audit.recording("challenge.remove", f"{line}/{part}", caller.name):
        checks.remove_part(line, part)


IMAGE: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {"image/jpeg": {}, "image/png": {}}, "description": "The image"}
}


@router.get(
    "/challenge/images/{image}",
    response_class=Response,
    responses={**IMAGE, **documented(401, 404, 422, 503)},
)
def get_challenge_image(checks: Checks, line: Line, image: ImageName) -> Response:
    """Return an image of a challenge set, by its digest."""
    found = checks.image(line, image)
    return Response(found.content, media_type=found.content_type, headers={"Cache-Control": "private, max-age=86400"})


@router.post("/checks", status_code=202, responses=documented(401, 403, 404, 409, 422, 503))
def run_check(
    checks: Checks, line: Line, caller: Operator, audit: Audited, order: CheckOrder | None = None
) -> CheckStarted:
    """Run the start-of-shift check of a line.

    Each part of the challenge set goes the whole way, from the queue of the workers to the outputs, marked as a check
    and counted nowhere; or, by camera, from the trigger of a real part.
    """
    with audit.recording("check.run", line, caller.name):
        return checks.run(line, order or CheckOrder(), caller.name)


@router.get("/checks", responses=documented(401, 404, 422, 503))
def list_checks(checks: Checks, line: Line) -> CheckList:
    """Return the last checks of a line, newest first."""
    return checks.last_checks(line)


@router.get("/checks/{check_id}", responses=documented(401, 404, 422, 503))
def get_check(checks: Checks, line: Line, check_id: CheckId) -> LineChecked:
    """Return the record of a check that has ended."""
    return checks.get(line, check_id)


def given_images(files: list[UploadFile], cameras: list[Name], frames: list[FrameId]) -> list[GivenImage]:
    """Return the images of a request or a form; a browser sends an empty file where none was chosen."""
    chosen = [file for file in files if file.filename]
    uploaded = [GivenImage(camera, file.file.read()) for file, camera in zip_longest(chosen, cameras[: len(chosen)])]
    return [*uploaded, *(GivenImage(None, frame_id=frame) for frame in frames)]

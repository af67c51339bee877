"""The pages of checks: the challenge set with the last checks of a line, and the record of a check."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import StringConstraints, TypeAdapter, ValidationError

from services.dashboard.access.audit import Audited
from services.dashboard.checks.endpoints import MOST_BYTES, CheckId, Checks, Files, Labelled, Part, given_images
from services.dashboard.checks.labelled_parts import LabelledPartsService
from services.dashboard.checks.schemas import CheckOrder, image_url
from services.dashboard.checks.service import ChecksService
from services.dashboard.datasets.endpoints import Datasets
from services.dashboard.lines.endpoints import Line
from services.dashboard.web.authorization import Engineer, Operator
from services.dashboard.web.problems import Problem
from services.dashboard.web.templating import show
from shared.label_names import LabelName
from shared.language import gettext
from shared.messages import Expected, FrameId, Name

NAME: TypeAdapter[str] = TypeAdapter(Name)
LABELS: TypeAdapter[list[str]] = TypeAdapter(list[LabelName])
FRAMES: TypeAdapter[list[str]] = TypeAdapter(list[FrameId])

router = APIRouter(include_in_schema=False)
Text = Annotated[str, Form(max_length=2_000)]
Texts = Annotated[list[Annotated[str, StringConstraints(max_length=2_000)]], Form(max_length=64)]


@router.get("/checks/{line}")
def show_checks(request: Request, checks: Checks, line: Line) -> HTMLResponse:
    """Show the challenge set of a line and its last checks."""
    return _show(request, checks, line)


@router.post("/checks/{line}")
def run_check(
    request: Request,
    checks: Checks,
    line: Line,
    caller: Operator,
    audit: Audited,
    *,
    by_camera: Annotated[bool, Form()] = False,
) -> Response:
    """Run a check, and show its record as soon as there is one."""
    try:
        with audit.recording("check.run", line, caller.name, by_camera=by_camera):
            started = checks.run(line, CheckOrder(by_camera=by_camera), caller.name)
    except Problem as problem:
        return _show(request, checks, line, problem)
    return RedirectResponse(f"/checks/{line}/{started.check_id}", status_code=303)


@router.post("/checks/{line}/parts", max_body_size=MOST_BYTES)
def put_part(
    request: Request,
    checks: Checks,
    line: Line,
    caller: Engineer,
    audit: Audited,
    *,
    name: Text = "",
    expected: Annotated[Expected, Form()],
    defects: Texts = [],  # noqa: B006  FastAPI copies it
    camera: Text = "",
    frames: Text = "",
    images: Files = [],  # noqa: B006
    fed: Annotated[bool, Form()] = False,
) -> Response:
    """Store a part of the challenge set."""
    try:
        part, labels, ids = _read(name, defects, frames, checks.labels(line))
        cameras = [NAME.validate_python(camera.strip())] * len(images) if camera.strip() else []
        with audit.recording("challenge.set", f"{line}/{part}", caller.name, expected=expected, defects=list(labels)):
            checks.put_part(line, part, expected, labels, given_images(images, cameras, ids), fed=fed, by=caller.name)
    except ValidationError:
        problem = Problem(
            422,
            gettext("give a name of letters, digits, - and _; frames by their ids, defects by their labels"),
        )
        return _show(request, checks, line, problem)
    except Problem as problem:
        return _show(request, checks, line, problem)
    return RedirectResponse(f"/checks/{line}", status_code=303)


@router.post("/checks/{line}/parts/{part}/remove")
def remove_part(checks: Checks, line: Line, part: Part, caller: Engineer, audit: Audited) -> Response:
    """Remove a part from the challenge set."""
    with audit.recording("challenge.remove", f"{line}/{part}", caller.name):
        checks.remove_part(line, part)
    return RedirectResponse(f"/checks/{line}", status_code=303)


@router.get("/checks/{line}/labelled")
def show_labelled_images(
    request: Request,
    labelled: Labelled,
    datasets: Datasets,
    line: Line,
    *,
    dataset: Annotated[str, Query(max_length=200)] = "",
    label: Annotated[str, Query(max_length=200)] = "",
    start: Annotated[int, Query(ge=0, le=10_000_000)] = 0,
) -> HTMLResponse:
    """Show labelled images of a dataset, to choose parts of the challenge set among them."""
    names = datasets.names().datasets
    chosen = dataset or (names[0] if names else "")
    return _show_labelled(request, labelled, line, names=names, dataset=chosen, label=label, start=start)


@router.post("/checks/{line}/labelled")
def add_labelled_images(
    request: Request,
    labelled: Labelled,
    datasets: Datasets,
    line: Line,
    *,
    caller: Engineer,
    audit: Audited,
    dataset: Text = "",
    places: Annotated[list[int], Form(max_length=100)] = [],  # noqa: B006  FastAPI copies it
) -> Response:
    """Store the chosen images as parts of the challenge set."""
    try:
        with audit.recording("challenge.set", line, caller.name, dataset=dataset, images=len(places)):
            labelled.add(line, dataset, places, by=caller.name)
    except Problem as problem:
        names = datasets.names().datasets
        return _show_labelled(request, labelled, line, names=names, dataset=dataset, problem=problem)
    return RedirectResponse(f"/checks/{line}", status_code=303)


@router.get("/checks/{line}/{check_id}")
def show_check(request: Request, checks: Checks, line: Line, check_id: CheckId) -> HTMLResponse:
    """Show the record of a check, that it runs, or that no record came. While it runs, the page asks again."""
    record = checks.find(line, check_id)
    expected = record is None and checks.is_expected(line, check_id)
    next_part = checks.next_part(line, check_id) if expected else None
    page = show(
        request,
        "check.html",
        "lines",
        line=line,
        record=record,
        expected=expected,
        next_part=next_part,
        image_url=image_url,
    )
    if expected:
        page.headers["Refresh"] = "2"
    return page


def _read(name: str, defects: Sequence[str], frames: str, known: Sequence[str]) -> tuple[str, list[str], list[str]]:
    """Return the name, the labels and the ids of frames that a form gives; no known label is split at its commas.

    Raises:
        ValidationError: one is wrong.
    """
    given = [label for text in defects for label in ([text] if text in known else text.split(","))]
    labels = [label.strip() for label in given if label.strip()]
    return NAME.validate_python(name.strip()), LABELS.validate_python(labels), FRAMES.validate_python(frames.split())


def _hindrance(checks: ChecksService, line: str, *, by_camera: bool) -> str | None:
    """Return why no check can run; None if one can."""
    try:
        checks.check_can_run(line, by_camera=by_camera)
    except Problem as found:
        if found.details.status == 404:
            raise
        return found.details.detail
    return None


def _show_labelled(
    request: Request,
    labelled: LabelledPartsService,
    line: str,
    *,
    names: Sequence[str],
    dataset: str,
    label: str = "",
    start: int = 0,
    problem: Problem | None = None,
) -> HTMLResponse:
    found = None
    try:
        found = labelled.offered(line, dataset, label or None, start) if dataset else None
    except Problem as hindrance:
        problem = problem or hindrance
    page = show(
        request,
        "labelled.html",
        "lines",
        line=line,
        names=names,
        dataset=dataset,
        label=label,
        found=found,
        problem=problem.details if problem else None,
    )
    page.status_code = problem.details.status if problem else 200
    return page


def _show(request: Request, checks: Checks, line: str, problem: Problem | None = None) -> HTMLResponse:
    page = show(
        request,
        "checks.html",
        "lines",
        line=line,
        challenge=checks.challenge(line),
        listed=checks.last_checks(line),
        labels=checks.labels(line),
        hindrances={by_camera: _hindrance(checks, line, by_camera=by_camera) for by_camera in (False, True)},
        problem=problem.details if problem else None,
    )
    page.status_code = problem.details.status if problem else 200
    return page

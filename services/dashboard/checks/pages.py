"""The pages of checks: the challenge set with the last checks of a line, and the record of a check."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import StringConstraints, TypeAdapter, ValidationError

from services.dashboard.access.audit import Audited
from services.dashboard.checks.endpoints import MOST_BYTES, CheckId, Checks, Files, Part, given_images
from services.dashboard.checks.schemas import CheckOrder, image_url
from services.dashboard.lines.endpoints import Line
from services.dashboard.web.authorization import Engineer, Operator
from services.dashboard.web.language import gettext
from services.dashboard.web.problems import Problem
from services.dashboard.web.templating import show
from shared.label_names import LabelName
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
def run_check(request: Request, checks: Checks, line: Line, caller: Operator, audit: Audited) -> Response:
    """Run a check, and show its record as soon as there is one."""
    try:
        with audit.recording("check.run", line, caller.name):
            started = checks.run(line, CheckOrder(), caller.name)
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
) -> Response:
    """Store a part of the challenge set."""
    try:
        part, labels, ids = _read(name, defects, frames, checks.labels(line))
        cameras = [NAME.validate_python(camera.strip())] * len(images) if camera.strip() else []
        with audit.recording("challenge.set", f"{line}/{part}", caller.name, expected=expected, defects=list(labels)):
            checks.put_part(line, part, expected, labels, given_images(images, cameras, ids), by=caller.name)
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


@router.get("/checks/{line}/{check_id}")
def show_check(request: Request, checks: Checks, line: Line, check_id: CheckId) -> HTMLResponse:
    """Show the record of a check, that it runs, or that no record came. While it runs, the page asks again."""
    record = checks.find(line, check_id)
    expected = record is None and checks.is_expected(line, check_id)
    page = show(request, "check.html", "lines", line=line, record=record, expected=expected, image_url=image_url)
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


def _show(request: Request, checks: Checks, line: str, problem: Problem | None = None) -> HTMLResponse:
    hindrance = None
    try:
        checks.check_can_run(line)
    except Problem as found:
        if found.details.status == 404:
            raise
        hindrance = found.details.detail
    page = show(
        request,
        "checks.html",
        "lines",
        line=line,
        challenge=checks.challenge(line),
        listed=checks.last_checks(line),
        labels=checks.labels(line),
        hindrance=hindrance,
        problem=problem.details if problem else None,
    )
    page.status_code = problem.details.status if problem else 200
    return page

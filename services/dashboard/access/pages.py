"""The pages for admins: people and tokens, and the audit log."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse, StreamingResponse

from services.dashboard.access.audit import Audited
from services.dashboard.access.audit_search import AuditSearch, csv_of
from services.dashboard.access.endpoints import Before, ManagedPeople, Person, TokenId
from services.dashboard.access.people import PersonName
from services.dashboard.access.schemas import LONGEST_DAYS
from services.dashboard.access.service import AccessService
from services.dashboard.store.errors import REDIS_UNAVAILABLE
from services.dashboard.web.authorization import Admin, at_least
from services.dashboard.web.callers import Role
from services.dashboard.web.form import Fields, FormFields
from services.dashboard.web.problems import Problem
from services.dashboard.web.service_registry import provided, service_of
from services.dashboard.web.templating import Clock, show
from shared.validation import marked

PAGE: Final = 50
ACTIONS: Final = {
    "challenge": marked("Challenge sets"),
    "check": marked("Start-of-shift checks"),
    "dataset": marked("Datasets"),
    "frame": marked("Frames"),
    "images": marked("Exports"),
    "model": marked("Models"),
    "output": marked("Outputs to the factory"),
    "parked": marked("Parked messages"),
    "person": marked("Users"),
    "recipe": marked("Recipes"),
    "retention": marked("Retention"),
    "session": marked("Sessions"),
    "thresholds": marked("Thresholds"),
    "token": marked("API tokens"),
    "training": marked("Trainings"),
    "video": marked("Videos"),
}
"""The groups of actions in the search form, by the first word of the actions."""
WORDS: Final = {
    "challenge.remove": marked("removed a part from a challenge set"),
    "challenge.set": marked("stored a part of a challenge set"),
    "check.finish": marked("finished the check of a line"),
    "check.run": marked("ran the check of a line"),
    "dataset.import": marked("imported a dataset"),
    "dataset.make": marked("made a dataset"),
    "frame.mark": marked("marked a verdict as wrong"),
    "frame.unmark": marked("removed the mark of a verdict"),
    "images.export": marked("exported labels with images"),
    "model.compare": marked("compared models"),
    "model.name": marked("named a model version"),
    "model.promote": marked("requested a promotion"),
    "model.rollback": marked("requested a rollback"),
    "output.test": marked("tested an output to the factory"),
    "parked.discard": marked("discarded a parked message"),
    "parked.replay": marked("replayed a parked message"),
    "person.add": marked("added a user"),
    "person.language": marked("chose a language"),
    "person.password": marked("set a password"),
    "person.remove": marked("removed a user"),
    "person.role": marked("changed a role"),
    "recipe.change": marked("changed the recipe of a line"),
    "recipe.save": marked("saved a recipe"),
    "retention.remove": marked("removed stored data by a retention rule"),
    "session.begin": marked("logged in"),
    "session.end": marked("logged out"),
    "thresholds.set": marked("set thresholds"),
    "token.add": marked("made an API token"),
    "token.revoke": marked("revoked an API token"),
    "training.cancel": marked("cancelled a training"),
    "training.request": marked("requested a training"),
    "video.upload": marked("uploaded a video or images"),
}
"""The actions of the audit log in words."""
MAY: Final = {
    Role.VIEWER: marked("sees everything"),
    Role.OPERATOR: marked("and marks wrong verdicts, requests heatmaps, checks lines"),
    Role.ENGINEER: marked("and labels, edits recipes, trains, compares, promotes, rolls back, replays"),
    Role.ADMIN: marked("and discards, manages people and tokens"),
}

router = APIRouter(include_in_schema=False)
PasswordField = Annotated[str, Form(max_length=512)]


@dataclass(frozen=True)
class SubjectNames:
    """The names of model versions, by ``recipe/version``. It is passed in: the feature `models` imports this one."""

    read: Callable[[], Mapping[str, str]]


Names = Annotated[SubjectNames, provided(SubjectNames)]


@router.get("/people")
def show_people(request: Request, people: ManagedPeople, _caller: Admin) -> HTMLResponse:
    return _show(request, people)


@router.post("/people")
def add_person(
    request: Request,
    people: ManagedPeople,
    caller: Admin,
    *,
    name: Annotated[PersonName, Form()],
    role: Annotated[Role, Form()],
    password: PasswordField = "",
) -> Response:
    try:
        _, generated = people.add(name, role, password or None, by=caller.name)
    except Problem as problem:
        return _show(request, people, problem=problem)
    return _show(request, people, secret=("Password", name, generated)) if generated else _show_again()


@router.post("/people/{person}/role")
def change_role(
    request: Request, people: ManagedPeople, caller: Admin, person: Person, role: Annotated[Role, Form()]
) -> Response:
    try:
        people.change_role(person, role, by=caller.name)
    except Problem as problem:
        return _show(request, people, problem=problem)
    return _show_again()


@router.post("/people/{person}/password")
def change_password(
    request: Request, people: ManagedPeople, caller: Admin, person: Person, password: PasswordField = ""
) -> Response:
    try:
        generated = people.change_password(person, password or None, by=caller.name)
    except Problem as problem:
        return _show(request, people, problem=problem)
    return _show(request, people, secret=("Password", person, generated)) if generated else _show_again()


@router.post("/people/{person}/remove")
def remove_person(request: Request, people: ManagedPeople, caller: Admin, person: Person) -> Response:
    try:
        people.remove(person, by=caller.name)
    except Problem as problem:
        return _show(request, people, problem=problem)
    return _show_again()


@router.post("/tokens")
def add_token(
    request: Request,
    people: ManagedPeople,
    caller: Admin,
    *,
    name: Annotated[PersonName, Form()],
    role: Annotated[Role, Form()],
    days: Annotated[int, Form(ge=1, le=LONGEST_DAYS)],
) -> Response:
    """Make a token, and show its secret once."""
    try:
        _, secret = people.add_token(name, role, days, by=caller.name)
    except Problem as problem:
        return _show(request, people, problem=problem)
    return _show(request, people, secret=("Token", name, secret))


@router.post("/tokens/{token_id}/revoke")
def revoke_token(people: ManagedPeople, caller: Admin, token_id: TokenId) -> Response:
    people.revoke_token(token_id, by=caller.name)
    return _show_again()


@router.get("/audit", dependencies=[at_least(Role.ADMIN)])
def show_audit(request: Request, audit: Audited, names: Names, fields: Fields, before: Before = None) -> HTMLResponse:
    context: dict[str, Any] = {"fields": fields, "actions": ACTIONS, "words": WORDS, "names": names.read()}
    try:
        found = _search(fields, service_of(request, Clock)).page(audit, before, PAGE)
    except Problem as problem:
        return show(request, "audit.html", "people", problem=problem.details, **context)
    return show(
        request, "audit.html", "people", found=found, table=fields.address("/audit/table.csv", before=None), **context
    )


@router.get("/audit/table.csv", dependencies=[at_least(Role.ADMIN)])
def get_audit_table(request: Request, audit: Audited, fields: Fields) -> StreamingResponse:
    """Return all entries that the search finds, as CSV."""
    headers = {"Content-Disposition": f'attachment; filename="audit-log-{datetime.now(UTC):%Y-%m-%d}.csv"'}
    entries = _search(fields, service_of(request, Clock)).entries(audit)
    return StreamingResponse(csv_of(entries), media_type="text/csv; charset=utf-8", headers=headers)


def _search(fields: FormFields, clock: Clock) -> AuditSearch:
    first, last = fields.time("from", clock), fields.time("to", clock)
    by, action, text = (fields.get(name) for name in ("by", "action", "text"))
    return AuditSearch.over(first, last, by=by, action=action, text=text)


def _show(
    request: Request,
    people: ManagedPeople,
    *,
    problem: Problem | None = None,
    secret: tuple[str, str, str] | None = None,
) -> HTMLResponse:
    directory = people.directory()
    try:
        used = service_of(request, AccessService).tokens_used()
    except REDIS_UNAVAILABLE:  # the page then shows no times of use
        used = {}
    shown = show(
        request,
        "people.html",
        "people",
        people=sorted(directory.people.values(), key=lambda each: each.name),
        tokens=sorted(directory.tokens.values(), key=lambda each: each.added_at, reverse=True),
        may=MAY,
        used=used,
        longest_days=LONGEST_DAYS,
        now=datetime.now(UTC),
        problem=problem.details if problem else None,
        secret=secret,
    )
    shown.status_code = problem.details.status if problem else 200
    shown.headers["Cache-Control"] = "no-store"
    return shown


def _show_again() -> RedirectResponse:
    return RedirectResponse("/people", status_code=303)

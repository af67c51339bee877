"""The pages of admins: people and tokens, and the audit log."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse, StreamingResponse

from services.dashboard.access.audit import Audited
from services.dashboard.access.endpoints import Before, Person, Register, TokenId
from services.dashboard.access.people import PersonName
from services.dashboard.access.schemas import LONGEST_DAYS
from services.dashboard.access.search import Search, csv_of
from services.dashboard.access.service import Access
from services.dashboard.store.connection import AWAY
from services.dashboard.web.authorization import Admin, at_least
from services.dashboard.web.form import Fields, FormFields
from services.dashboard.web.problems import Problem
from services.dashboard.web.roles import Role
from services.dashboard.web.services import service_of
from services.dashboard.web.templating import Clock, show

PAGE: Final = 50
ACTIONS: Final = ("frame", "label", "model", "parked", "person", "session", "threshold", "token", "training")
"""Nouns that the search offers."""
MAY: Final = {
    Role.VIEWER: "looks at everything",
    Role.OPERATOR: "and marks wrong verdicts, asks for heatmaps",
    Role.ENGINEER: "and labels, trains, compares, promotes, rolls back, replays",
    Role.ADMIN: "and discards, manages people and tokens",
}

router = APIRouter(include_in_schema=False)
PasswordField = Annotated[str, Form(max_length=512)]


@router.get("/people")
def show_people(request: Request, people: Register, _caller: Admin) -> HTMLResponse:
    """Who may come in."""
    return _show(request, people)


@router.post("/people")
def add_person(
    request: Request,
    people: Register,
    caller: Admin,
    *,
    name: Annotated[PersonName, Form()],
    role: Annotated[Role, Form()],
    password: PasswordField = "",
) -> Response:
    """Add somebody."""
    try:
        _, made = people.add(name, role, password or None, by=caller.name)
    except Problem as problem:
        return _show(request, people, problem=problem)
    return _show(request, people, secret=("Password", name, made)) if made else _again()


@router.post("/people/{person}/role")
def give_role(
    request: Request, people: Register, caller: Admin, person: Person, role: Annotated[Role, Form()]
) -> Response:
    """Give somebody another role."""
    try:
        people.give_role(person, role, by=caller.name)
    except Problem as problem:
        return _show(request, people, problem=problem)
    return _again()


@router.post("/people/{person}/password")
def set_password(
    request: Request, people: Register, caller: Admin, person: Person, password: PasswordField = ""
) -> Response:
    """Give somebody another password."""
    try:
        made = people.set_password(person, password or None, by=caller.name)
    except Problem as problem:
        return _show(request, people, problem=problem)
    return _show(request, people, secret=("Password", person, made)) if made else _again()


@router.post("/people/{person}/remove")
def remove_person(request: Request, people: Register, caller: Admin, person: Person) -> Response:
    """Remove somebody."""
    try:
        people.remove(person, by=caller.name)
    except Problem as problem:
        return _show(request, people, problem=problem)
    return _again()


@router.post("/tokens")
def add_token(
    request: Request,
    people: Register,
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
def revoke_token(people: Register, caller: Admin, token_id: TokenId) -> Response:
    """Make a token worthless."""
    people.revoke_token(token_id, by=caller.name)
    return _again()


@router.get("/audit", dependencies=[at_least(Role.ADMIN)])
def show_audit(request: Request, audit: Audited, fields: Fields, before: Before = None) -> HTMLResponse:
    """Who did what."""
    context: dict[str, Any] = {"fields": fields, "actions": ACTIONS}
    try:
        found = _search(fields, service_of(request, Clock)).page(audit, before, PAGE)
    except Problem as problem:
        return show(request, "audit.html", "people", problem=problem.details, **context)
    return show(
        request, "audit.html", "people", found=found, table=fields.address("/audit/table.csv", before=None), **context
    )


@router.get("/audit/table.csv", dependencies=[at_least(Role.ADMIN)])
def get_audit_table(request: Request, audit: Audited, fields: Fields) -> StreamingResponse:
    """What the page shows, all of it, as CSV."""
    headers = {"Content-Disposition": 'attachment; filename="audit.csv"'}
    entries = _search(fields, service_of(request, Clock)).entries(audit)
    return StreamingResponse(csv_of(entries), media_type="text/csv; charset=utf-8", headers=headers)


def _search(fields: FormFields, clock: Clock) -> Search:
    first, last = fields.time("from", clock), fields.time("to", clock)
    by, action, text = (fields.get(name) for name in ("by", "action", "text"))
    return Search.over(first, last, by=by, action=action, text=text)


def _show(
    request: Request, people: Register, *, problem: Problem | None = None, secret: tuple[str, str, str] | None = None
) -> HTMLResponse:
    directory = people.look()
    shown = show(
        request,
        "people.html",
        "people",
        people=sorted(directory.people.values(), key=lambda each: each.name),
        tokens=sorted(directory.tokens.values(), key=lambda each: each.added_at, reverse=True),
        may=MAY,
        used=_used(request),
        longest_days=LONGEST_DAYS,
        now=datetime.now(UTC),
        problem=problem.details if problem else None,
        secret=secret,
    )
    shown.status_code = problem.details.status if problem else 200
    shown.headers["Cache-Control"] = "no-store"
    return shown


def _used(request: Request) -> dict[str, datetime]:
    """When each token was used last; while Redis is away, nothing is known."""
    try:
        return service_of(request, Access).tokens_used()
    except AWAY:
        return {}


def _again() -> RedirectResponse:
    return RedirectResponse("/people", status_code=303)

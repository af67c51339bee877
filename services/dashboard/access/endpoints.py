"""The endpoints of access: ``/api/session``, ``/api/sessions``, ``/api/people``, ``/api/tokens``, ``/api/audit``."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.responses import StreamingResponse

from services.dashboard.access.audit import Audited
from services.dashboard.access.audit_search import AuditSearch, csv_of
from services.dashboard.access.password_queue import KNOWN_BROWSERS, UNKNOWN_BROWSERS
from services.dashboard.access.people import People, PersonName
from services.dashboard.access.schemas import (
    AuditPage,
    Login,
    NewPassword,
    NewPerson,
    NewRole,
    NewToken,
    OwnSession,
    OwnSessions,
    PasswordChange,
    PasswordMade,
    PersonList,
    PersonMade,
    PersonView,
    SessionView,
    TokenList,
    TokenMade,
    TokenView,
)
from services.dashboard.access.service import AccessService, LoggedIn
from services.dashboard.access.throttle import DEVICE_LIFETIME
from services.dashboard.web.authorization import Admin, Viewer, anyone
from services.dashboard.web.cookies import (
    DEVICE,
    LANGUAGE,
    LANGUAGE_LASTS,
    SESSION,
    cookies_of,
    drop_session,
    set_cookie,
)
from services.dashboard.web.guard import MOST_BYTES
from services.dashboard.web.paging import Paged, newest
from services.dashboard.web.problems import documented
from services.dashboard.web.query_times import QueryTime
from services.dashboard.web.service_registry import provided, service_of

router = APIRouter(prefix="/api", tags=["access"])


Access = Annotated[AccessService, provided(AccessService)]
ManagedPeople = Annotated[People, provided(People)]
Person = Annotated[PersonName, Path(examples=["eva"])]
Before = Annotated[str | None, Query(pattern=r"^[0-7][0-9A-HJKMNP-TV-Z]{25}$", description="`next` of a page")]
OwnSessionId = Annotated[str, Path(pattern=r"^[0-9a-f]{16}$", examples=["0f3a9c1d2b4e5f60"])]
TokenId = Annotated[str, Path(pattern=r"^token-[0-9a-z]{26}$", examples=["token-01jf6z6tx4w8e1v2m6c3n9q7rb"])]


async def log_in_with(request: Request, name: str, password: str) -> LoggedIn:
    """Begin a session with the name and the password that were typed.

    Raises:
        Problem: 401, 429, 503.
    """
    access, device = service_of(request, AccessService), cookies_of(request.headers).device
    attempt = partial(access.log_in, name, password, device, *origin_of(request))
    known = device is not None and await to_thread.run_sync(access.knows, name, device)
    return await (KNOWN_BROWSERS if known else UNKNOWN_BROWSERS).run(attempt)


def origin_of(request: Request) -> tuple[str, str]:
    """Return the address and the user agent of a request."""
    return request.client.host if request.client else "", request.headers.get("user-agent", "")


def give_cookies(response: Response, request: Request, logged_in: LoggedIn) -> None:
    """Set the cookies of the session and of the account's language, and the device cookie of a browser that has none.

    The language's cookie is for the errors of requests whose caller can't be identified.
    """
    set_cookie(response, request, SESSION, logged_in.session_id, logged_in.longest)
    if logged_in.device:
        set_cookie(response, request, DEVICE, logged_in.device, DEVICE_LIFETIME)
    if logged_in.caller.language:
        set_cookie(response, request, LANGUAGE, logged_in.caller.language, LANGUAGE_LASTS)


@router.post(
    "/session", dependencies=[anyone()], max_body_size=MOST_BYTES, responses=documented(401, 403, 413, 422, 429, 503)
)
async def log_in(request: Request, response: Response, login: Login) -> SessionView:
    """Log in with name and password: a cookie is set.

    After five wrong attempts, each further attempt has to wait (`Retry-After`).
    """
    logged_in = await log_in_with(request, login.name, login.password)
    give_cookies(response, request, logged_in)
    return SessionView.of(logged_in.caller)


@router.get("/session", responses=documented(401, 503))
def get_session(caller: Viewer) -> SessionView:
    """The caller, and their role."""
    return SessionView.of(caller)


@router.delete("/session", status_code=204, responses=documented(401, 403, 503))
def log_out(access: Access, caller: Viewer, response: Response) -> None:
    """Log out."""
    access.log_out(caller)
    drop_session(response)


@router.put("/session/password", responses=documented(401, 403, 422, 429, 503))
async def change_password(
    request: Request, response: Response, access: Access, caller: Viewer, change: PasswordChange
) -> SessionView:
    """Change the caller's own password. All their sessions end, and a new one begins."""
    attempt = partial(access.change_password, caller, change.current, change.new, *origin_of(request))
    logged_in = await KNOWN_BROWSERS.run(attempt)
    give_cookies(response, request, logged_in)
    return SessionView.of(logged_in.caller)


@router.get("/sessions", responses=documented(401, 503))
def list_sessions(access: Access, caller: Viewer) -> OwnSessions:
    """The caller's own sessions. A token has none."""
    return OwnSessions(sessions=[OwnSession.of(each, caller) for each in access.sessions(caller)])


@router.delete("/sessions", status_code=204, responses=documented(401, 403, 503))
def end_other_sessions(access: Access, caller: Viewer) -> None:
    """End the caller's own sessions, except the one of this request."""
    access.end_other_sessions(caller)


@router.delete("/sessions/{session_id}", status_code=204, responses=documented(401, 403, 404, 422, 503))
def end_session(access: Access, caller: Viewer, session_id: OwnSessionId) -> None:
    """End one of the caller's own sessions."""
    access.end_session(caller, session_id)


@router.get("/people", responses=documented(401, 403, 422, 503))
def list_people(people: ManagedPeople, _caller: Admin, paging: Paged) -> PersonList:
    """The people who may log in, by name, a page at a time."""
    found, more = paging.page(people.directory().people.values(), lambda person: (0, person.name))
    return PersonList(people=[PersonView.of(person) for person in found], next=more)


@router.post("/people", status_code=201, responses=documented(401, 403, 409, 422, 503))
def add_person(people: ManagedPeople, caller: Admin, new: NewPerson) -> PersonMade:
    """Add a person. Without a password, one is generated, and returned only in this answer."""
    person, password = people.add(new.name, new.role, new.password, by=caller.name)
    return PersonMade(**PersonView.of(person).model_dump(), password=password)


@router.put("/people/{person}/role", responses=documented(401, 403, 404, 409, 422, 503))
def give_role(people: ManagedPeople, caller: Admin, person: Person, new: NewRole) -> PersonView:
    """Change the role of a person. Their sessions end. The last admin stays one."""
    return PersonView.of(people.change_role(person, new.role, by=caller.name))


@router.put("/people/{person}/password", responses=documented(401, 403, 404, 409, 422, 503))
def set_password(people: ManagedPeople, caller: Admin, person: Person, new: NewPassword) -> PasswordMade:
    """Change the password of a person. Their sessions end."""
    return PasswordMade(password=people.change_password(person, new.password, by=caller.name))


@router.delete("/people/{person}", status_code=204, responses=documented(401, 403, 404, 409, 422, 503))
def remove_person(people: ManagedPeople, caller: Admin, person: Person) -> None:
    """Remove a person. Their sessions end. The last admin stays."""
    people.remove(person, by=caller.name)


@router.get("/tokens", responses=documented(401, 403, 422, 503))
def list_tokens(people: ManagedPeople, access: Access, _caller: Admin, paging: Paged) -> TokenList:
    """The tokens of programs, without their secrets, newest first, a page at a time; those that have expired too."""
    found, more = paging.page(people.directory().tokens.values(), lambda token: newest(token.added_at, token.id))
    used = access.tokens_used()
    return TokenList(tokens=[TokenView.of(token, used.get(token.id)) for token in found], next=more)


@router.post("/tokens", status_code=201, responses=documented(401, 403, 422, 503))
def add_token(people: ManagedPeople, caller: Admin, new: NewToken) -> TokenMade:
    """Make a token. Its secret is returned only in this answer."""
    token, secret = people.add_token(new.name, new.role, new.days, by=caller.name)
    return TokenMade(**TokenView.of(token).model_dump(), secret=secret)


@router.delete("/tokens/{token_id}", status_code=204, responses=documented(401, 403, 404, 422, 503))
def revoke_token(people: ManagedPeople, caller: Admin, token_id: TokenId) -> None:
    """Revoke a token, at once."""
    people.revoke_token(token_id, by=caller.name)


def _search(
    *,
    first: Annotated[QueryTime | None, Query(alias="from", description="31 days before `to` when left out")] = None,
    last: Annotated[QueryTime | None, Query(alias="to", description="now when left out")] = None,
    by: Annotated[str | None, Query(max_length=100, description="only actions of this person or token")] = None,
    action: Annotated[
        str | None, Query(max_length=100, description="this, or all of a noun", examples=["model"])
    ] = None,
    text: Annotated[str | None, Query(max_length=200, description="text in the subject or the details")] = None,
) -> AuditSearch:
    return AuditSearch.over(first, last, by=by, action=action, text=text)


SearchedFor = Annotated[AuditSearch, Depends(_search)]


@router.get("/audit", responses=documented(401, 403, 422, 503))
def search_audit(
    audit: Audited,
    _caller: Admin,
    search: SearchedFor,
    before: Before = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> AuditPage:
    """The audit log, newest first, a page at a time.

    A page may hold fewer than `limit`, even none, and still have a `next`: a request reads 500 entries at most.
    """
    return search.page(audit, before, limit)


@router.get(
    "/audit/table.csv",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/csv": {}}, "description": "CSV"}, **documented(401, 403, 422, 503)},
)
def get_audit_table(audit: Audited, _caller: Admin, search: SearchedFor) -> StreamingResponse:
    """The same as CSV, all pages in one."""
    headers = {"Content-Disposition": f'attachment; filename="audit-log-{datetime.now(UTC):%Y-%m-%d}.csv"'}
    return StreamingResponse(csv_of(search.entries(audit)), media_type="text/csv; charset=utf-8", headers=headers)

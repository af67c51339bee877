"""The pages for logging in, and for the caller's own account."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, RedirectResponse

from services.dashboard.access.endpoints import Access, OwnSessionId, give_cookies, log_in_with, origin_of
from services.dashboard.access.password_queue import KNOWN_BROWSERS
from services.dashboard.access.schemas import OwnSession
from services.dashboard.access.service import AccessService
from services.dashboard.store.errors import REDIS_UNAVAILABLE
from services.dashboard.web.authorization import Viewer, anyone
from services.dashboard.web.callers import Caller
from services.dashboard.web.cookies import LANGUAGE, LANGUAGE_LASTS, drop_session, set_cookie
from services.dashboard.web.guard import MOST_BYTES
from services.dashboard.web.problems import Problem
from services.dashboard.web.templating import show
from shared.language import LANGUAGES, gettext
from shared.storage.port import StorageError

_log = structlog.stdlib.get_logger("access")

router = APIRouter(include_in_schema=False)
Next = Annotated[str, Query(max_length=2000, description="the page to show afterwards")]
Typed = Annotated[str, Form(max_length=512)]


@router.get("/login", dependencies=[anyone()])
def show_login(request: Request, access: Access, *, next: Next = "/") -> Response:
    if not access.login:
        return RedirectResponse(_own_path(next), status_code=303)
    return show(request, "login.html", "login", next=_own_path(next))


@router.post("/login", dependencies=[anyone()], max_body_size=MOST_BYTES)
async def log_in(
    request: Request,
    *,
    name: Typed = "",
    password: Typed = "",
    next: Annotated[str, Form(max_length=2000)] = "/",
) -> Response:
    """Log in, then show the page that was requested before."""
    try:
        logged_in = await log_in_with(request, name, password)
    except Problem as problem:
        shown = show(request, "login.html", "login", next=_own_path(next), name=name[:100], problem=problem.details)
        shown.status_code = problem.details.status
        shown.headers.update(problem.headers or {})
        return shown
    answer = RedirectResponse(_own_path(next), status_code=303)
    give_cookies(answer, request, logged_in)
    return answer


@router.post("/logout")
def log_out(access: Access, caller: Viewer) -> RedirectResponse:
    """Log out, and show the page for logging in."""
    access.log_out(caller)
    answer = RedirectResponse("/login", status_code=303)
    drop_session(answer)
    return answer


@router.post("/language", dependencies=[anyone()], max_body_size=MOST_BYTES)
def choose_language(
    request: Request,
    access: Access,
    *,
    language: Annotated[str, Form(pattern=f"^({'|'.join(LANGUAGES)})$")],
    next: Annotated[str, Form(max_length=2000)] = "/",
) -> RedirectResponse:
    """Choose the language of the pages: in this browser, and in the account of a person who has logged in."""
    answer = RedirectResponse(_own_path(next), status_code=303)
    set_cookie(answer, request, LANGUAGE, language, LANGUAGE_LASTS)
    try:
        caller = access.identify(request.headers)
        if caller is not None and caller.kind == "person":
            access.people.choose_language(caller.name, language)
    except (*REDIS_UNAVAILABLE, StorageError):  # the language is then stored in this browser only
        _log.warning("the language was not stored in the account")
    return answer


@router.get("/account")
def show_account(request: Request, access: Access, caller: Viewer) -> HTMLResponse:
    """Show the caller's name and role, the form of the password, and the open sessions."""
    return _show_account(request, access, caller)


@router.post("/account/sessions/end")
def end_other_sessions(access: Access, caller: Viewer) -> RedirectResponse:
    """End the caller's own sessions, except the one of this request."""
    access.end_other_sessions(caller)
    return RedirectResponse("/account#sessions", status_code=303)


@router.post("/account/sessions/{session_id}/end")
def end_session(access: Access, caller: Viewer, session_id: OwnSessionId) -> RedirectResponse:
    """End one of the caller's own sessions."""
    access.end_session(caller, session_id)
    return RedirectResponse("/account#sessions", status_code=303)


@router.post("/account")
async def change_password(
    request: Request, access: Access, caller: Viewer, *, current: Typed, new: Typed, again: Typed
) -> Response:
    """Change the caller's own password."""
    try:
        _check_same(new, again)
        logged_in = await KNOWN_BROWSERS.run(partial(access.change_password, caller, current, new, *origin_of(request)))
    except Problem as problem:
        shown = await run_in_threadpool(_show_account, request, access, caller, problem=problem.details)
        shown.status_code = problem.details.status
        return shown
    answer = await run_in_threadpool(_show_account, request, access, logged_in.caller, done=True)
    give_cookies(answer, request, logged_in)
    return answer


def _show_account(request: Request, access: AccessService, caller: Caller, **context: Any) -> HTMLResponse:
    try:
        sessions = [OwnSession.of(each, caller) for each in access.sessions(caller)]
    except REDIS_UNAVAILABLE:
        sessions = None
    return show(request, "account.html", "account", sessions=sessions, **context)


def _check_same(new: str, again: str) -> None:
    if new != again:
        raise Problem(422, gettext("the new password was typed in two ways: type it again"))


def _own_path(path: str) -> str:
    """Return a path of this dashboard; the first page if `path` leads to another site."""
    leads_away = path.startswith(("//", "/\\")) or not path.startswith("/") or not path.isprintable()
    return "/" if leads_away or path.startswith(("/login", "/logout")) else path

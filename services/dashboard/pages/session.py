"""The pages of logging in, and of one's own account."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from services.dashboard.access import Role, Viewer, anyone, at_least
from services.dashboard.access.cookies import drop_session
from services.dashboard.access.endpoints import AT_ONCE, Entrance, give_cookies, log_in_with
from services.dashboard.guard import MOST_BYTES
from services.dashboard.pages.templating import show
from services.dashboard.problems import Problem

router = APIRouter(include_in_schema=False)
Next = Annotated[str, Query(max_length=2000, description="where to go then")]
Typed = Annotated[str, Form(max_length=512)]


@router.get("/login", dependencies=[anyone()])
def show_login(request: Request, access: Entrance, *, next: Next = "/") -> Response:
    """The way in."""
    if not access.login:
        return RedirectResponse(_of_ours(next), status_code=303)
    return show(request, "login.html", "login", next=_of_ours(next))


@router.post("/login", dependencies=[anyone()], max_body_size=MOST_BYTES)
async def log_in(
    request: Request,
    *,
    name: Typed = "",
    password: Typed = "",
    next: Annotated[str, Form(max_length=2000)] = "/",
) -> Response:
    """Log in, then go where one wanted to."""
    try:
        logged_in = await log_in_with(request, name, password)
    except Problem as problem:
        shown = show(request, "login.html", "login", next=_of_ours(next), name=name[:100], problem=problem.details)
        shown.status_code = problem.details.status
        shown.headers.update(problem.headers or {})
        return shown
    answer = RedirectResponse(_of_ours(next), status_code=303)
    give_cookies(answer, request, logged_in)
    return answer


@router.post("/logout")
def log_out(access: Entrance, caller: Viewer) -> RedirectResponse:
    """Log out, and show the way in."""
    access.log_out(caller)
    answer = RedirectResponse("/login", status_code=303)
    drop_session(answer)
    return answer


@router.get("/account", dependencies=[at_least(Role.VIEWER)])
def show_account(request: Request) -> HTMLResponse:
    """Who I am, and my password."""
    return show(request, "account.html", "account")


@router.post("/account")
async def change_password(
    request: Request, access: Entrance, caller: Viewer, *, current: Typed, new: Typed, again: Typed
) -> Response:
    """Change my own password."""
    try:
        _check_typing(new, again)
        attempt = partial(access.change_password, caller, current, new)
        logged_in = await to_thread.run_sync(attempt, limiter=AT_ONCE)
    except Problem as problem:
        shown = show(request, "account.html", "account", problem=problem.details)
        shown.status_code = problem.details.status
        return shown
    answer = show(request, "account.html", "account", done=True)
    give_cookies(answer, request, logged_in)
    return answer


def _check_typing(new: str, again: str) -> None:
    if new != again:
        raise Problem(422, "the new password was typed in two ways: type it again")


def _of_ours(path: str) -> str:
    """A path of this dashboard; the first page, if it would lead anywhere else."""
    leads_away = path.startswith(("//", "/\\")) or not path.startswith("/") or not path.isprintable()
    return "/" if leads_away or path.startswith(("/login", "/logout")) else path

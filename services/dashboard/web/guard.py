"""The guard of the dashboard: it lets known callers in, by a name of ours, from a page of ours."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final
from urllib.parse import quote, urlsplit

from anyio import CapacityLimiter, to_thread
from fastapi import Request, Response
from fastapi.responses import RedirectResponse
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.dashboard.settings import DashboardSettings
from services.dashboard.store.errors import AWAY
from services.dashboard.web.problems import SAFE, Answer, Problem
from services.dashboard.web.roles import Caller
from shared.storage.port import StorageError

ANYWHERE: Final = "/healthz"
"""For anyone by any name: it tells nothing."""
OPEN: Final = frozenset(
    {(method, ANYWHERE) for method in ("GET", "HEAD")}
    | {(method, "/login") for method in ("GET", "HEAD", "POST")}
    | {("POST", "/api/session")}
)
"""For strangers: the way in."""
OPEN_FOLDER: Final = "/static/"
"""What the page of the way in looks like."""
AT_ONCE: Final = 20
"""Threads that look who asks: these are no one else's, whatever the application waits for."""
MOST_BYTES: Final = 16 * 1024
"""Of what a stranger sends."""
OPEN_BODY_SECONDS: Final = 10.0
"""For what a stranger sends to come whole."""
BODY_SECONDS: Final = 30.0
"""The same, of those who are known; but for uploads."""

HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; object-src 'none'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
}

NOT_KEPT: Final = {"Cache-Control": "no-store"}
HTTPS_ALONE: Final = {"Strict-Transport-Security": "max-age=31536000"}
"""A year. Of this name alone: what else is below it is not ours."""


Identify = Callable[[Headers], Caller | None]
"""Return who sends a request with these headers; None for a stranger."""


class AnswerHeaders:
    """Adds to every answer what it tells browsers, errors that nobody foresaw included.

    Nothing is kept by caches, unless the answer itself says so; files of the pages are everybody's, and have a tag.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _headers_of(scope).items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_with_headers)


def _headers_of(scope: Scope) -> dict[str, str]:
    headers = HEADERS | (HTTPS_ALONE if scope["scheme"] == "https" else {})
    return headers if scope["path"].startswith(OPEN_FOLDER) else headers | NOT_KEPT


class Guard:
    """Stands before the application and turns strangers away, before anything that they send is read.

    It looks at the path itself, never at ``request.url``, which is put together from the name that the caller gave.

    A browser that shows a stranger's page reaches a dashboard as easily as its owner does, and may bring the owner's
    cookie. So the name by which it calls (``Host``) must be ours, against names that a stranger points at this machine;
    and what changes anything must come from a page of ours (``Sec-Fetch-Site``, ``Origin``). Programs send neither
    header, and may.
    """

    def __init__(self, app: ASGIApp, settings: DashboardSettings, identify: Identify, answer: Answer) -> None:
        self._app = app
        self._caller_of = identify
        self._answer = answer
        self._hosts = allowed_hosts(settings)
        self._at_once = CapacityLimiter(AT_ONCE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        refusal = await self._look_at(request)
        await (refusal or self._app)(scope, _in_time(request, receive), send)

    async def _look_at(self, request: Request) -> Response | None:
        """What a request is answered that goes no further; None: it goes on, with its caller if it has one."""
        problem = self._problem_of(request)
        if problem is None and not is_open(request):
            problem = await to_thread.run_sync(self._identify, request, limiter=self._at_once)
        if problem is None:
            return None
        if problem.details.status == 401 and _is_for_a_page(request):
            return RedirectResponse(f"/login?next={quote(_path_of(request))}", status_code=303)
        return self._answer(request, problem.details, problem.headers)

    def _problem_of(self, request: Request) -> Problem | None:
        headers = request.headers
        if request.scope["path"] == ANYWHERE:
            return None
        if self._hosts and hostname(headers.get("host", "")) not in self._hosts:
            return Problem(421, "this dashboard has another name: add this one to DASHBOARD_ALLOWED_HOSTS")
        if request.method not in SAFE and not _from_a_page_of_ours(headers):
            return Problem(403, "a page of another site may not do this")
        if is_open(request) and _length(headers) > MOST_BYTES:
            return Problem(413, f"send {MOST_BYTES} bytes at most")
        return None

    def _identify(self, request: Request) -> Problem | None:
        """Note who asks."""
        try:
            caller = self._caller_of(request.headers)
        except (*AWAY, StorageError) as error:
            return Problem(503, f"nobody can be let in right now: {error}", headers={"Retry-After": "5"})
        if caller is None:
            asks = {"WWW-Authenticate": 'Bearer realm="Seamline"'}
            return Problem(
                401, "log in (POST /api/session, or the page /login), or send a token as bearer", headers=asks
            )
        request.state.caller = caller
        return None


def _in_time(request: Request, receive: Receive) -> Receive:
    """Receive a request's body until a deadline; then it has broken off. Uploads have a rule of their own."""
    if not is_open(request) and request.headers.get("content-type", "").startswith("multipart/"):
        return receive
    until = asyncio.get_running_loop().time() + (OPEN_BODY_SECONDS if is_open(request) else BODY_SECONDS)
    whole = False

    async def receive_in_time() -> Message:
        nonlocal whole
        if whole:
            return await receive()
        try:
            async with asyncio.timeout_at(until):
                message = await receive()
        except TimeoutError:
            return {"type": "http.disconnect"}
        whole = not message.get("more_body", False)
        return message

    return receive_in_time


def is_open(request: Request) -> bool:
    """Whether strangers may ask this."""
    path = request.scope["path"]
    return (request.method, path) in OPEN or (request.method in SAFE and path.startswith(OPEN_FOLDER))


def allowed_hosts(settings: DashboardSettings) -> frozenset[str]:
    """The names by which browsers may call; empty when any will do, because the login stands behind it."""
    named = {name.strip().lower() for name in settings.allowed_hosts.split(",") if name.strip()}
    if named or not settings.loopback:
        return frozenset(named)
    return frozenset({"localhost", "127.0.0.1", "::1", settings.host.strip("[]").lower()})


def hostname(host: str) -> str:
    """The name in a ``Host`` header, without the port and in lower case; empty when it is none."""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def _from_a_page_of_ours(headers: Headers) -> bool:
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = headers.get("origin")
    return origin is None or origin.lower().partition("://")[2] == headers.get("host", "").lower()


def _length(headers: Headers) -> int:
    given = headers.get("content-length", "")
    return int(given) if given.isdecimal() else 0


def _is_for_a_page(request: Request) -> bool:
    path = request.scope["path"]
    wants_page = "text/html" in request.headers.get("accept", "")
    return request.method in SAFE and wants_page and (path == "/api/docs" or not path.startswith("/api/"))


def _path_of(request: Request) -> str:
    path, query = request.scope["path"], request.scope["query_string"].decode("latin-1")
    return f"{path}?{query}" if query else str(path)

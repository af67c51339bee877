"""Refuse requests before they reach the application.

The guard refuses unknown callers, host names that are not the dashboard's (DNS rebinding), and changes that a page of
another site sends (CSRF).
"""

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
from services.dashboard.store.errors import REDIS_UNAVAILABLE
from services.dashboard.web.callers import Caller
from services.dashboard.web.problems import SAFE, Answer, Problem
from shared.language import gettext, speak, translated
from shared.storage.port import StorageError

HEALTH: Final = "/healthz"
"""The only path that any caller may request by any host name."""
OPEN: Final = frozenset(
    {(method, HEALTH) for method in ("GET", "HEAD")}
    | {(method, "/login") for method in ("GET", "HEAD", "POST")}
    | {("POST", "/api/session"), ("POST", "/language")}
)
"""Requests that need no login."""
OPEN_FOLDER: Final = "/static/"
"""Public files, which the login page needs."""
IDENTIFYING_THREADS: Final = 20
"""Number of threads that identify callers. They are apart from the application's, which may all wait for a server."""
MOST_BYTES: Final = 16 * 1024
"""Most bytes of the body of a request that needs no login."""
OPEN_BODY_SECONDS: Final = 10.0
"""Most seconds to receive the body of a request that needs no login."""
BODY_SECONDS: Final = 30.0
"""Most seconds to receive the body of another request, except uploads."""

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

NO_STORE: Final = {"Cache-Control": "no-store"}
HTTPS_ONLY: Final = {"Strict-Transport-Security": "max-age=31536000"}
"""Browsers use only TLS for a year. Subdomains, which may be other services, are not included."""


Identify = Callable[[Headers], Caller | None]
"""Returns the caller who sends a request with these headers; None for an unknown caller."""


class AnswerHeaders:
    """Adds security headers to every answer, also to unexpected errors.

    Caches may not store an answer, unless the answer itself allows it. This does not hold for the public files, which
    have an ETag.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = HEADERS | (HTTPS_ONLY if scope["scheme"] == "https" else {})
                if not scope["path"].startswith(OPEN_FOLDER):
                    headers |= NO_STORE
                given = MutableHeaders(scope=message)
                for name, value in headers.items():
                    given.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_with_headers)


class Guard:
    """Refuses requests before their body is read.

    It checks the path in the scope, not ``request.url``, which contains the host name that the caller sent.

    A page of another site can send requests to the dashboard from a user's browser, which adds the user's cookies. So
    the header ``Host`` must name the dashboard, and a change must come from a page of the dashboard by the headers
    ``Sec-Fetch-Site`` or ``Origin``. Requests without these two headers come from programs, and are accepted.
    """

    def __init__(self, app: ASGIApp, settings: DashboardSettings, identify: Identify, answer: Answer) -> None:
        self._app = app
        self._identify = identify
        self._answer = answer
        self._hosts = allowed_hosts(settings)
        self._threads = CapacityLimiter(IDENTIFYING_THREADS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        refusal = await self._refusal_of(request)
        await (refusal or self._app)(scope, _with_time_limit(request, receive), send)

    async def _refusal_of(self, request: Request) -> Response | None:
        """Return the answer to a refused request; for an accepted one, set its caller and language, and return None."""
        problem = self._check(request)
        if problem is None and not is_open(request):
            problem = await to_thread.run_sync(self._check_caller, request, limiter=self._threads)
        if problem is None:
            caller: Caller | None = getattr(request.state, "caller", None)
            speak(caller.language if caller else None)
            return None
        path, query = request.scope["path"], request.scope["query_string"].decode("latin-1")
        is_page = path == "/api/docs" or not path.startswith("/api/")
        wants_page = request.method in SAFE and "text/html" in request.headers.get("accept", "")
        if problem.details.status == 401 and is_page and wants_page:
            return RedirectResponse(f"/login?next={quote(f'{path}?{query}' if query else path)}", status_code=303)
        return self._answer(request, problem.details, problem.headers)

    def _check(self, request: Request) -> Problem | None:
        headers = request.headers
        if request.scope["path"] == HEALTH:
            return None
        if self._hosts and hostname(headers.get("host", "")) not in self._hosts:
            return Problem(421, gettext("this dashboard has another name: add this one to DASHBOARD_ALLOWED_HOSTS"))
        if request.method not in SAFE and not is_same_site(headers):
            return Problem(403, gettext("a page of another site may not do this"))
        length = headers.get("content-length", "")
        if is_open(request) and length.isdecimal() and int(length) > MOST_BYTES:
            return Problem(413, gettext("send %(most_bytes)s bytes at most", most_bytes=MOST_BYTES))
        return None

    def _check_caller(self, request: Request) -> Problem | None:
        """Set the caller of the request; return the problem if there is none."""
        try:
            caller = self._identify(request.headers)
        except (*REDIS_UNAVAILABLE, StorageError) as error:
            return Problem(
                503,
                gettext("callers can't be identified right now: %(error)s", error=translated(error)),
                headers={"Retry-After": "5"},
            )
        if caller is None:
            return Problem(
                401,
                gettext("log in (POST /api/session, or the page /login), or send a token as bearer"),
                headers={"WWW-Authenticate": 'Bearer realm="Seamline"'},
            )
        request.state.caller = caller
        return None


def _with_time_limit(request: Request, receive: Receive) -> Receive:
    """Return a function that receives the body, and reports a disconnect after a time limit; uploads have no limit."""
    if not is_open(request) and request.headers.get("content-type", "").startswith("multipart/"):
        return receive
    until = asyncio.get_running_loop().time() + (OPEN_BODY_SECONDS if is_open(request) else BODY_SECONDS)
    complete = False

    async def receive_in_time() -> Message:
        nonlocal complete
        if complete:
            return await receive()
        try:
            async with asyncio.timeout_at(until):
                message = await receive()
        except TimeoutError:
            return {"type": "http.disconnect"}
        complete = not message.get("more_body", False)
        return message

    return receive_in_time


def is_open(request: Request) -> bool:
    """Return whether a request needs no login."""
    path = request.scope["path"]
    return (request.method, path) in OPEN or (request.method in SAFE and path.startswith(OPEN_FOLDER))


def is_same_site(headers: Headers) -> bool:
    """Return whether a request with these headers comes from a page of the dashboard or from a program."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = headers.get("origin")
    return origin is None or origin.lower().partition("://")[2] == headers.get("host", "").lower()


def allowed_hosts(settings: DashboardSettings) -> frozenset[str]:
    """Return the accepted host names; empty if any name is accepted, because people log in."""
    named = {name.strip().lower() for name in settings.allowed_hosts.split(",") if name.strip()}
    if named or not settings.loopback:
        return frozenset(named)
    return frozenset({"localhost", "127.0.0.1", "::1", settings.host.strip("[]").lower()})


def hostname(host: str) -> str:
    """Return the host name in a ``Host`` header in lower case, without the port; empty if there is none."""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""

"""Who may talk to the dashboard: those with the password, by a name of ours, from a page of ours."""

from __future__ import annotations

import base64
import hmac
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.dashboard.access.roles import LOCAL, Caller, Role
from services.dashboard.problems import Problem, respond
from services.dashboard.settings import DashboardSettings

OPEN: Final = frozenset({"/healthz"})
"""Paths for anyone by any name: they tell nothing."""
SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})

HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; object-src 'none'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class Guard:
    """Stands before the application and turns strangers away.

    A browser that shows a stranger's page reaches a dashboard on loopback as easily as its owner does. So the name by
    which it calls (``Host``) must be ours, against names that a stranger points at this machine; and what changes
    anything must come from a page of ours (``Sec-Fetch-Site``, ``Origin``). Programs send neither header, and may.
    """

    def __init__(self, app: ASGIApp, settings: DashboardSettings) -> None:
        self._app = app
        self._password = settings.password.get_secret_value().encode()
        self._hosts = allowed_hosts(settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        problem = self._problem_of(scope)
        if problem is None:
            scope.setdefault("state", {})["caller"] = _caller(Headers(scope=scope))
            await self._app(scope, receive, send_with_headers)
            return
        asks = {"WWW-Authenticate": 'Basic realm="Seamline", charset="UTF-8"'} if problem.details.status == 401 else {}
        await respond(problem.details, asks)(scope, receive, send_with_headers)

    def _problem_of(self, scope: Scope) -> Problem | None:
        headers = Headers(scope=scope)
        if scope["path"] in OPEN:
            return None
        if self._hosts and hostname(headers.get("host", "")) not in self._hosts:
            return Problem(421, "this dashboard has another name: add this one to DASHBOARD_ALLOWED_HOSTS")
        if scope["method"] not in SAFE and not _from_a_page_of_ours(headers):
            return Problem(403, "a page of another site may not do this")
        if self._password and not self._knows_the_password(headers):
            return Problem(401, "give the password (HTTP Basic, any user name) or a bearer token that is the password")
        return None

    def _knows_the_password(self, headers: Headers) -> bool:
        scheme, _, credentials = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "basic":
            given = basic_credentials(credentials)[1].encode()
        elif scheme.lower() == "bearer":
            given = credentials.encode("latin-1")  # the bytes as they came
        else:
            return False
        return hmac.compare_digest(given, self._password)


def _caller(headers: Headers) -> Caller:
    """Who asks: by the user name that came with the password. Whoever knows the password may do everything."""
    scheme, _, credentials = headers.get("authorization", "").partition(" ")
    user = basic_credentials(credentials)[0] if scheme.lower() == "basic" else ""
    return Caller(user[:64], Role.ADMIN) if user else LOCAL


def basic_credentials(credentials: str) -> tuple[str, str]:
    """User name and password of HTTP Basic (RFC 7617); both empty when they can't be read."""
    try:
        user, _, password = base64.b64decode(credentials, validate=True).decode().partition(":")
    except ValueError:
        return "", ""
    return user, password


def allowed_hosts(settings: DashboardSettings) -> frozenset[str]:
    """The names by which browsers may call; empty when any will do, because the password stands behind it."""
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
    return origin is None or urlsplit(origin).netloc.lower() == headers.get("host", "").lower()

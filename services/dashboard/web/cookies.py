"""The cookies of the session, of the device, and of the chosen language."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from starlette.datastructures import Headers
from starlette.requests import Request, cookie_parser
from starlette.responses import Response

SESSION: Final = "seamline-session"
DEVICE: Final = "seamline-device"
LANGUAGE: Final = "seamline-language"
LANGUAGE_LASTS: Final = timedelta(days=365)
HOST: Final = "__Host-"
"""Prefix of a cookie that was sent over TLS: browsers accept it over TLS only, and from no other subdomain."""


@dataclass(frozen=True)
class Cookies:
    """The cookies that a browser sends."""

    session: str | None
    device: str | None
    language: str | None


def cookies_of(headers: Headers) -> Cookies:
    """Read the cookies; those that were sent over TLS take precedence."""
    given = cookie_parser(headers.get("cookie", ""))
    return Cookies(*(given.get(HOST + name) or given.get(name) for name in (SESSION, DEVICE, LANGUAGE)))


def uses_tls(request: Request) -> bool:
    """Return whether the browser uses TLS; behind a proxy that ends TLS only the ``Origin`` of the page says so."""
    return request.scope["scheme"] == "https" or request.headers.get("origin", "").lower().startswith("https://")


def set_cookie(response: Response, request: Request, name: str, value: str, lasts: timedelta) -> None:
    """Set a cookie that no script can read and that no page of another site can use."""
    tls = uses_tls(request)
    response.set_cookie(
        HOST + name if tls else name,
        value,
        max_age=int(lasts.total_seconds()),
        path="/",
        secure=tls,
        httponly=True,
        samesite="lax",
    )


def drop_session(response: Response) -> None:
    """Delete the session's cookie."""
    response.delete_cookie(SESSION, path="/", httponly=True, samesite="lax")
    response.delete_cookie(HOST + SESSION, path="/", secure=True, httponly=True, samesite="lax")

"""The cookies: a session, and a browser that is known."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from starlette.datastructures import Headers
from starlette.requests import Request, cookie_parser
from starlette.responses import Response

SESSION: Final = "seamline-session"
DEVICE: Final = "seamline-device"
HOST: Final = "__Host-"
"""Before the name of a cookie that came by TLS: browsers take it by TLS alone, and of no neighbouring name."""


@dataclass(frozen=True)
class Cookies:
    """What a browser sends."""

    session: str | None
    device: str | None


def cookies_of(headers: Headers) -> Cookies:
    """Read the cookies; those that came by TLS win."""
    given = cookie_parser(headers.get("cookie", ""))
    return Cookies(*(given.get(HOST + name) or given.get(name) for name in (SESSION, DEVICE)))


def is_by_tls(request: Request) -> bool:
    """Whether the browser talks TLS, as it says itself of the page: the proxy that ends TLS speaks HTTP with us."""
    return request.scope["scheme"] == "https" or request.headers.get("origin", "").lower().startswith("https://")


def set_cookie(response: Response, request: Request, name: str, value: str, lasts: timedelta) -> None:
    """Give the browser a cookie that no script can read and no page of another site can use."""
    tls = is_by_tls(request)
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
    """Take the session's cookie back."""
    response.delete_cookie(SESSION, path="/", httponly=True, samesite="lax")
    response.delete_cookie(HOST + SESSION, path="/", secure=True, httponly=True, samesite="lax")

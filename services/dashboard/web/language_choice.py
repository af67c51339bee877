"""Choose the language of a request: by a cookie, or by the browser's settings."""

from __future__ import annotations

import re

from babel.core import negotiate_locale
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from services.dashboard.web.cookies import cookies_of
from shared.language import ENGLISH, LANGUAGES, speak


def language_of(headers: Headers) -> str:
    """Return the language that a browser has chosen by a cookie, or prefers by its settings."""
    chosen = cookies_of(headers).language
    if chosen in LANGUAGES:
        return chosen
    accepted = [part.partition(";")[::2] for part in headers.get("accept-language", "").split(",")]
    preferred = sorted(accepted, key=lambda each: -_quality(each[1]))
    names = [name.strip().partition("-")[0].lower() for name, quality in preferred if _quality(quality) > 0]
    return negotiate_locale(names, LANGUAGES) or ENGLISH


def _quality(text: str) -> float:
    """Return the quality of a language in ``Accept-Language``, from 0 to 1."""
    found = re.fullmatch(r"\s*q=([01](?:\.\d{0,3})?)\s*", text)
    return float(found.group(1)) if found else 1.0


class Language:
    """Chooses the language of each request. The guard changes it to the one of the caller's account."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            speak(language_of(Headers(scope=scope)))
        await self._app(scope, receive, send)

"""The answer to a request that waits for a server that is away."""

from __future__ import annotations

import asyncio

import pytest
from fastapi import Request, Response
from starlette.types import Message, Receive, Scope, Send

from services.dashboard.web import deadline
from services.dashboard.web.callers import Caller, Role
from services.dashboard.web.deadline import Deadline
from services.dashboard.web.problems import ProblemDetails
from services.dashboard.web.readiness import Readiness
from shared.language import speak


def test_it_is_in_the_language_of_the_account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadline, "READ_SECONDS", 0.0)
    monkeypatch.setattr(Readiness, "away", lambda _self: ["Redis is away: counts, frames and states can't be shown."])
    sent: list[Message] = []

    async def waiting(scope: Scope, _receive: Receive, _send: Send) -> None:
        Request(scope).state.caller = Caller("eva", Role.VIEWER, language="de")
        speak("de")
        await asyncio.Event().wait()

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request"}

    def answer(_request: Request, details: ProblemDetails, _headers: dict[str, str] | None) -> Response:
        return Response(details.detail, details.status)

    async def ask() -> None:
        scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "query_string": b""}
        await Deadline(waiting, Readiness({}), answer)(scope, receive, send)

    asyncio.run(ask())
    assert sent[0]["status"] == 503
    assert "Redis" in sent[1]["body"].decode()
    assert "can't be shown" not in sent[1]["body"].decode()

"""Answer 503 in time while Redis, RabbitMQ or object storage is away, instead of letting the caller wait."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog
from fastapi import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.dashboard.web.callers import Caller
from services.dashboard.web.problems import SAFE, Answer, Problem
from services.dashboard.web.readiness import Readiness
from shared.language import gettext, speak, translated

READ_SECONDS: Final = 1.7
"""Most seconds until the answer to a request that changes nothing begins, while a server is away."""
CHANGE_SECONDS: Final = 8.0
"""Most seconds until the answer to a change begins, while a server is away; longer than `CONFIRM_SECONDS` of the
command publisher."""
CHECK_SECONDS: Final = 0.1
"""Seconds between two checks after the time limit."""

_log = structlog.stdlib.get_logger("api")


class Deadline:
    """Answers 503 if the application has not begun to answer within the time limit and a server that it needs is away.

    The thread of the endpoint can't be stopped: it ends when the client of Redis, RabbitMQ or S3 gives up.
    """

    def __init__(self, app: ASGIApp, readiness: Readiness, answer: Answer) -> None:
        self._app = app
        self._readiness = readiness
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, given_up = False, False

        async def send_unless_given_up(message: Message) -> None:
            nonlocal started
            started = True
            if not given_up:
                await send(message)

        is_read = scope["method"] in SAFE
        work = asyncio.ensure_future(self._app(scope, receive, send_unless_given_up))
        try:
            await asyncio.wait({work}, timeout=READ_SECONDS if is_read else CHANGE_SECONDS)
            while not started and not work.done():
                if away := self._readiness.away():
                    given_up = True
                    work.add_done_callback(_ignore_result)
                    work.cancel()
                    caller: Caller | None = getattr(Request(scope).state, "caller", None)
                    speak(caller.language if caller else None)  # set in the cancelled task only
                    _log.warning("gave up waiting for a server that is away", path=scope["path"], away=away)
                    sentences = [translated(each) for each in away]
                    if not is_read:
                        sentences.append(gettext("The change may have been made: check before you repeat it."))
                    problem = Problem(503, " ".join(sentences), headers={"Retry-After": "5"})
                    answer = self._answer(Request(scope), problem.details, problem.headers)
                    await answer(scope, receive, send)
                    return
                await asyncio.wait({work}, timeout=CHECK_SECONDS)
            await work
        except asyncio.CancelledError:
            work.cancel()
            raise


def _ignore_result(work: asyncio.Future[None]) -> None:
    if not work.cancelled():
        work.exception()

"""A deadline for every answer while a server is away: within two seconds people are told what is missing."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog
from fastapi import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.dashboard.web.problems import SAFE, Answer, Problem
from services.dashboard.web.readiness import Readiness

LOOK_SECONDS: Final = 1.7
"""After which a question is given up, if a server is away."""
ORDER_SECONDS: Final = 8.0
"""After which an order is given up; longer than a broker has to confirm one."""
STEP_SECONDS: Final = 0.1

_log = structlog.stdlib.get_logger("api")


class Deadline:
    """Answers 503 for the application when that waits for a server that is away. While all are there, it has no part.

    The thread that hangs is left alone: its driver's own time limit ends it.
    """

    def __init__(self, app: ASGIApp, readiness: Readiness, answer: Answer) -> None:
        self._app = app
        self._readiness = readiness
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun, given_up = False, False

        async def send_in_time(message: Message) -> None:
            nonlocal begun
            begun = True
            if not given_up:
                await send(message)

        work = asyncio.ensure_future(self._app(scope, receive, send_in_time))
        try:
            await asyncio.wait({work}, timeout=LOOK_SECONDS if scope["method"] in SAFE else ORDER_SECONDS)
            while not begun and not work.done():
                if away := self._readiness.away():
                    given_up = True
                    await self._give_up(work, away, scope, receive, send)
                    return
                await asyncio.wait({work}, timeout=STEP_SECONDS)
            await work
        except asyncio.CancelledError:
            work.cancel()
            raise

    async def _give_up(
        self, work: asyncio.Future[None], away: list[str], scope: Scope, receive: Receive, send: Send
    ) -> None:
        work.add_done_callback(_forget)
        work.cancel()
        order = (
            "" if scope["method"] in SAFE else " What was ordered may have been done: look before ordering it again."
        )
        _log.warning("gave up waiting for a server that is away", path=scope["path"], away=away)
        problem = Problem(503, f"{' '.join(away)}{order}", headers={"Retry-After": "5"})
        await self._answer(Request(scope), problem.details, problem.headers)(scope, receive, send)


def _forget(work: asyncio.Future[None]) -> None:
    """What became of it is no news any more."""
    if not work.cancelled():
        work.exception()

"""Run password checks one at a time; while too many checks wait, refuse further logins with 503."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from anyio import CapacityLimiter, to_thread

from services.dashboard.web.problems import Problem
from shared.language import gettext

MOST_WAITING: Final = 20
"""Most checks that wait in a queue. A check takes 19 MiB and 40 ms."""
RETRY_SECONDS: Final = 5
"""Seconds after which a refused login is to be repeated."""

Result = TypeVar("Result")


class PasswordQueue:
    """Runs password checks one at a time, in the order in which they came."""

    def __init__(self) -> None:
        self._limiter = CapacityLimiter(1)

    async def run(self, attempt: Callable[[], Result]) -> Result:
        """Run ``attempt`` in a thread, and return its result.

        Raises:
            Problem: 503: too many checks wait.
        """
        if self._limiter.statistics().tasks_waiting >= MOST_WAITING:
            detail = gettext("too many people log in at this moment: try again in %(seconds)s s", seconds=RETRY_SECONDS)
            raise Problem(503, detail, headers={"Retry-After": str(RETRY_SECONDS)})
        return await to_thread.run_sync(attempt, limiter=self._limiter)


UNKNOWN_BROWSERS: Final = PasswordQueue()
KNOWN_BROWSERS: Final = PasswordQueue()
"""The queue of browsers with which a person has logged in before, so that they do not wait for unknown browsers."""

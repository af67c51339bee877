"""Passwords are looked at a few at a time; whoever comes while too many wait is asked to come again, at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from anyio import CapacityLimiter, to_thread

from services.dashboard.web.problems import Problem

MOST_WAITING: Final = 20
"""Each takes 19 MiB and 40 ms when it is its turn."""
AGAIN_SECONDS: Final = 5

Result = TypeVar("Result")


class PasswordQueue:
    """One at a time, in the order in which they came."""

    def __init__(self) -> None:
        self._limiter = CapacityLimiter(1)

    async def run(self, attempt: Callable[[], Result]) -> Result:
        """What ``attempt`` returns, in a thread.

        Raises:
            Problem: 503: too many wait.
        """
        if self._limiter.statistics().tasks_waiting >= MOST_WAITING:
            words = f"too many people log in at this moment: try again in {AGAIN_SECONDS} s"
            raise Problem(503, words, headers={"Retry-After": str(AGAIN_SECONDS)})
        return await to_thread.run_sync(attempt, limiter=self._limiter)


STRANGERS: Final = PasswordQueue()
KNOWN: Final = PasswordQueue()
"""Of browsers in which somebody has logged in before: strangers do not stand before them."""

"""How many uploads and exports run at once: each takes a thread, and room on this machine's disk."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from services.dashboard.web.problems import Problem

AGAIN_SECONDS: Final = 30
"""After which it is worth asking again."""


class Transfers:
    """As many at once as there are places; whoever comes then is told when to come again, and never queued."""

    def __init__(self, what: str, most: int) -> None:
        """``what``, in the plural, of which there may be ``most`` at once."""
        self._what = what
        self._most = most
        self._places = threading.Semaphore(most)

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold one while the block runs.

        Raises:
            Problem: 503: none is free.
        """
        if not self._places.acquire(blocking=False):
            raise Problem(
                503,
                f"as many {self._what} as may be at once ({self._most}) are under way: try again in a minute; "
                "DASHBOARD_TRANSFERS says how many may",
                headers={"Retry-After": str(AGAIN_SECONDS)},
            )
        try:
            yield
        finally:
            self._places.release()

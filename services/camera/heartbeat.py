"""Report that the capture loop is alive, also while it waits, and end each wait when the service is to stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from shared.health import Health

LONGEST_WAIT: Final = 1.0
"""Most seconds between two beats during a long wait."""


class Heartbeat:
    """Reports that the capture loop is alive, and says whether the loop is to continue."""

    def __init__(self, stop: threading.Event, health: Health, check: Callable[[], None] = lambda: None) -> None:
        """Call ``check`` at each beat; ``check`` raises the error of a failed thread on which the loop depends."""
        self._stop = stop
        self._health = health
        self._check = check

    @property
    def stopped(self) -> bool:
        """Return whether the service was requested to stop."""
        return self._stop.is_set()

    def beat(self) -> bool:
        """Report one turn of the loop, and return whether the loop is to continue."""
        self._check()
        self._health.beat()
        return not self.stopped

    def wait(self, seconds: float) -> bool:
        """Wait, unless the service is to stop, and return whether the loop is to continue."""
        until = time.monotonic() + seconds
        while self.beat() and (left := until - time.monotonic()) > 0:
            self._stop.wait(min(left, LONGEST_WAIT))
        return not self.stopped

"""The beat of the camera's loop: it waits, stays well while it does, and hears when it is to stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from shared.health import Health

LONGEST_WAIT: Final = 1.0


class Pulse:
    """Health and the stop signal, for whatever makes the loop wait."""

    def __init__(self, stop: threading.Event, health: Health, check: Callable[[], None] = lambda: None) -> None:
        self._stop = stop
        self._health = health
        self._check = check
        """Raises what ended a thread that the loop can't do without."""

    @property
    def stopped(self) -> bool:
        """Whether the service was told to stop."""
        return self._stop.is_set()

    def beat(self) -> bool:
        """The loop turned. Whether it is to go on."""
        self._check()
        self._health.beat()
        return not self.stopped

    def wait(self, seconds: float) -> bool:
        """Wait, unless the service is to stop. Whether it is to go on."""
        until = time.monotonic() + seconds
        while self.beat() and (left := until - time.monotonic()) > 0:
            self._stop.wait(min(left, LONGEST_WAIT))
        return not self.stopped

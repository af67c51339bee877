"""How many frames the broker has put aside."""

from __future__ import annotations

import threading
import time
from typing import Final

from shared.messaging.port import Broker, MessagingError
from shared.topology import DASHBOARD_VERDICTS, INFERENCE_FRAMES

FRESH_SECONDS: Final = 1.0


class ParkedFrames:
    """Asks the broker at most once a second, however many ask it."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._lock = threading.Lock()
        self._asked_at = -FRESH_SECONDS
        self._parked: int | None = None

    def __call__(self) -> int | None:
        """Frames that nobody could judge, and verdicts that could not be read; None while the broker is away."""
        with self._lock:
            if time.monotonic() - self._asked_at >= FRESH_SECONDS:
                self._asked_at = time.monotonic()
                self._parked = self._ask()
            return self._parked

    def _ask(self) -> int | None:
        try:
            return sum(self._broker.depth(queue.parked).total for queue in (INFERENCE_FRAMES, DASHBOARD_VERDICTS))
        except MessagingError:
            return None

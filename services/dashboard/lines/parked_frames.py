"""The number of parked frames."""

from __future__ import annotations

import time
from typing import Final

from services.dashboard.store.connection import ReasonAway
from services.dashboard.store.refreshed import Refreshed
from shared.messaging.port import Broker
from shared.topology import DASHBOARD_VERDICTS, INFERENCE_FRAMES

FRESH_SECONDS: Final = 1.0
"""Age up to which a number is used again."""
WAIT_SECONDS: Final = 0.3
"""Longest wait of a call for a fresh number."""
OLDEST_SECONDS: Final = 10.0
"""Age above which a number counts as unknown."""


class ParkedFrames:
    """Asks the broker for parked frames, at most once a second, in a thread."""

    def __init__(self, broker: Broker, away: ReasonAway) -> None:
        """``away`` returns why the broker is unavailable; a call then does not wait for the broker."""
        self._away = away
        queues = (INFERENCE_FRAMES.parked, DASHBOARD_VERDICTS.parked)
        self._parked = Refreshed(
            lambda: sum(broker.depth(queue).total for queue in queues),
            fresh_seconds=FRESH_SECONDS,
            name="parked frames",
        )

    def __call__(self) -> int | None:
        """Return the number of parked frames and verdicts; None if the broker is unavailable."""
        found = self._parked.get(0.0 if self._away() else WAIT_SECONDS)
        if found.error and not isinstance(found.error, TimeoutError):
            return None
        return found.value if time.monotonic() - found.at < OLDEST_SECONDS else None

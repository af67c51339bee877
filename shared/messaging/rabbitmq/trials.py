"""Decide what becomes of suspects: they are handled alone, and parked only if their readers died.

RabbitMQ counts each lost reader, and can't distinguish a process that died from a connection that was cut. A process
that is alive can: it remembers which suspect it held when its connection was lost, and clears it after it has
reconnected. So a suspect whose readers were lost too often waits for `RETURN_SECONDS`, and is parked if no reader has
cleared it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import Enum, auto
from hashlib import blake2b
from typing import Any, Final

from shared.topology import DELIVERY_LIMIT, SUSPECT_DELIVERY_LIMIT

RETURN_SECONDS: Final = 15.0
"""Time for a reader to reconnect and to clear its suspect: longer than its longest pause."""
LOSSES_HEADER: Final = "x-seamline-losses"
"""Number of lost readers of earlier copies of a suspect."""


class SuspectDecision(Enum):
    """The decision on a suspect."""

    TRY = auto()
    WAIT = auto()
    PARK = auto()


class Trials:
    """What one reader knows about the suspects of its queue, across its connections."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._survived: dict[bytes, float] = {}
        self._met: dict[bytes, float] = {}

    def connected(self) -> None:
        """Restart all waits after a new connection: no reader could reconnect before."""
        now = self._clock()
        self._met.clear()
        self._survived = dict.fromkeys(self._survived, now)

    def survived(self, body: bytes) -> None:
        """Record that the connection was lost while this process held a suspect, and that the process is alive."""
        self._survived[digest(body)] = self._clock()

    def clear(self, body: bytes) -> bool:
        """Return whether this process has survived a suspect, and forget it."""
        return self._survived.pop(digest(body), None) is not None

    @property
    def owes(self) -> bool:
        """Return whether there is a suspect to clear that may still be in the queue."""
        now = self._clock()
        return any(now - since < RETURN_SECONDS for since in self._survived.values())

    def judge(self, body: bytes, losses: int) -> SuspectDecision:
        """Decide on a suspect with this number of lost readers."""
        name = digest(body)
        if losses <= SUSPECT_DELIVERY_LIMIT or name in self._survived:
            self._met.pop(name, None)  # if its readers are lost again, they may reconnect again
            return SuspectDecision.TRY
        if self._clock() - self._met.setdefault(name, self._clock()) < RETURN_SECONDS:
            return SuspectDecision.WAIT
        del self._met[name]
        return SuspectDecision.PARK


def digest(body: bytes) -> bytes:
    """Return a digest that identifies a message."""
    return blake2b(body, digest_size=16).digest()


def losses_of(properties: Any) -> int:
    """Return the number of lost readers of a suspect: of this copy, as RabbitMQ counts them, and of earlier copies.

    RabbitMQ 4 keeps the count of the original queue on a dead letter until a reader of the suspects queue is lost.
    """
    headers = properties.headers or {}
    here = headers.get("x-delivery-count")
    if "x-death" in headers and isinstance(here, int) and here > DELIVERY_LIMIT:
        here = 0
    return sum(count for count in (here, headers.get(LOSSES_HEADER)) if isinstance(count, int))

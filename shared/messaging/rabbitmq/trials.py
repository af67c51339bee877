"""Suspects are tried alone, and only what its readers died of is parked.

RabbitMQ counts each reader that went, and can't tell a process that died from a connection that was cut. A process that
lives knows: it remembers which suspect it had in hand when its connection went, and comes back to clear it. So
a suspect that was lost too often waits for `RETURN_SECONDS`, and is parked when no reader has come back for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import Enum, auto
from hashlib import blake2b
from typing import Any, Final

from shared.topology import DELIVERY_LIMIT, SUSPECT_DELIVERY_LIMIT

RETURN_SECONDS: Final = 15.0
"""For a reader to connect again, and to clear what it had in hand: longer than its longest pause."""
LOSSES_HEADER: Final = "x-seamline-losses"
"""How often the readers of earlier copies of a suspect went."""


class Verdict(Enum):
    """What becomes of a suspect now."""

    TRY = auto()
    WAIT = auto()
    PARK = auto()


class Trials:
    """What one reader knows of the suspects of its queue, over all its connections."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._survived: dict[bytes, float] = {}
        self._met: dict[bytes, float] = {}

    def connected(self) -> None:
        """A new connection: nobody could come back while there was none, so all waits begin again."""
        now = self._clock()
        self._met.clear()
        self._survived = dict.fromkeys(self._survived, now)

    def survived(self, body: bytes) -> None:
        """The connection went while this reader, which lives, had a suspect in hand."""
        self._survived[digest(body)] = self._clock()

    def clear(self, body: bytes) -> bool:
        """Whether this reader has survived a suspect, and owes to say so; asking once is saying so."""
        return self._survived.pop(digest(body), None) is not None

    @property
    def owes(self) -> bool:
        """Whether there is something to clear that can still be found."""
        now = self._clock()
        return any(now - since < RETURN_SECONDS for since in self._survived.values())

    def judge(self, body: bytes, losses: int) -> Verdict:
        """What to do with a suspect whose readers went so often."""
        name = digest(body)
        if losses <= SUSPECT_DELIVERY_LIMIT or name in self._survived:
            self._met.pop(name, None)  # if its readers go again, they may come back again
            return Verdict.TRY
        if self._clock() - self._met.setdefault(name, self._clock()) < RETURN_SECONDS:
            return Verdict.WAIT
        del self._met[name]
        return Verdict.PARK


def digest(body: bytes) -> bytes:
    """Tells messages apart."""
    return blake2b(body, digest_size=16).digest()


def losses_of(properties: Any) -> int:
    """How often the readers of a suspect went: of this copy, as RabbitMQ counts, and of those before it.

    RabbitMQ 4 leaves the count of the queue that a dead letter comes from on it until it was lost here as well.
    """
    headers = properties.headers or {}
    here = headers.get("x-delivery-count")
    if "x-death" in headers and isinstance(here, int) and here > DELIVERY_LIMIT:
        here = 0
    return sum(count for count in (here, headers.get(LOSSES_HEADER)) if isinstance(count, int))

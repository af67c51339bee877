"""Gather frames into batches, so that several frames share one run of the network and one commit."""

from __future__ import annotations

import time
from collections.abc import Sequence

from shared.messaging.port import Delivery, Subscription


class MicroBatches:
    """A `Subscription` whose batches are full, or as full as they get within a time limit after their first frame.

    While a batch is inspected, the next one gathers in the prefetch, so no frame waits under load.
    """

    def __init__(self, inner: Subscription, gather_seconds: float) -> None:
        """Gather for ``gather_seconds`` after the first frame; suspects are delivered one by one."""
        self._inner = inner
        self._gather_seconds = gather_seconds
        self._suspect: list[Delivery] = []

    def receive(self, most: int, wait_seconds: float) -> Sequence[Delivery]:
        """Receive a batch; a suspect that arrives while a batch gathers becomes the next batch."""
        if self._suspect:
            return [self._suspect.pop()]
        batch = list(self._inner.receive(most, wait_seconds))
        deadline = time.monotonic() + self._gather_seconds
        while batch and not batch[0].is_suspect and len(batch) < most:
            left = deadline - time.monotonic()
            more = self._inner.receive(most - len(batch), left) if left > 0 else ()
            if not more:
                break
            if more[0].is_suspect:
                self._suspect.extend(more)
                break
            batch.extend(more)
        return batch

    def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        self._inner.acknowledge(deliveries)

    def park(self, delivery: Delivery, reason: str) -> None:
        self._inner.park(delivery, reason)

    def close(self) -> None:
        self._inner.close()

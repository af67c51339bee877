"""Batches that wait a little to grow: one run of the network and one commit for several frames."""

from __future__ import annotations

import time
from collections.abc import Sequence

from shared.messaging.port import Delivery, Subscription


class MicroBatches:
    """A `Subscription` whose batches are full, or as full as they got within a time limit after their first frame.

    While a batch is judged the next one gathers in the prefetch, so under load nothing waits.
    """

    def __init__(self, inner: Subscription, gather_seconds: float, suspects: str) -> None:
        """Gather for so long after the first frame; what comes from the queue ``suspects`` is judged alone."""
        self._inner = inner
        self._gather_seconds = gather_seconds
        self._suspects = suspects
        self._alone: list[Delivery] = []

    def receive(self, most: int, wait_seconds: float) -> Sequence[Delivery]:
        """See the port; a suspect that turns up while a batch gathers is the next batch."""
        if self._alone:
            return [self._alone.pop()]
        batch = list(self._inner.receive(most, wait_seconds))
        deadline = time.monotonic() + self._gather_seconds
        while batch and batch[0].queue != self._suspects and len(batch) < most:
            left = deadline - time.monotonic()
            more = self._inner.receive(most - len(batch), left) if left > 0 else ()
            if not more:
                break
            if more[0].queue == self._suspects:
                self._alone.extend(more)
                break
            batch.extend(more)
        return batch

    def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """See the port."""
        self._inner.acknowledge(deliveries)

    def park(self, delivery: Delivery, reason: str) -> None:
        """See the port."""
        self._inner.park(delivery, reason)

    def close(self) -> None:
        """See the port."""
        self._inner.close()

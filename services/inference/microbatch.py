"""Gather frames into batches, so that several frames share one run of the network and one commit."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress

import structlog

from shared.messages import CheckFrame, MalformedMessage
from shared.messaging.port import Delivery, Subscription

_log = structlog.stdlib.get_logger("inference")


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
        """Receive a batch; a suspect that arrives while a batch gathers becomes the next batch.

        A suspect of a check is dropped, and its check fails at its deadline: among the parked frames it would count as
        a frame of production.
        """
        batch = [self._suspect.pop()] if self._suspect else list(self._inner.receive(most, wait_seconds))
        if batch and _is_suspect_of_check(batch[0]):
            _log.error("dropped a frame of a check, whose readers died")
            self._inner.acknowledge(batch)
            return ()
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


def _is_suspect_of_check(delivery: Delivery) -> bool:
    with suppress(MalformedMessage):
        return delivery.is_suspect and isinstance(delivery.read(), CheckFrame)
    return False

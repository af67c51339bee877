"""Reads what services publish, as the dashboard would."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Generic, TypeVar

from shared.messages import Message, decode
from shared.messaging.port import Broker
from shared.topology import Queue

Kind = TypeVar("Kind", bound=Message)


class Collector(Generic[Kind]):
    """The messages of one kind that came through a queue, in their order."""

    def __init__(self, broker: Broker, queue: Queue, kind: type[Kind]) -> None:
        self._subscription = broker.subscribe(queue, prefetch=1000)
        self._kind = kind
        self.messages: list[Kind] = []

    def __enter__(self) -> Collector[Kind]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._subscription.close()

    def until(self, enough: Callable[[Sequence[Kind]], bool], seconds: float = 200) -> list[Kind]:
        """Everything so far, as soon as it is enough."""
        deadline = time.monotonic() + seconds
        while not enough(self.messages):
            assert time.monotonic() < deadline, f"only {len(self.messages)} came within {seconds:.0f} s"
            self._collect(0.2)
        return self.messages

    def for_a_while(self, seconds: float) -> list[Kind]:
        """Everything so far, after a while in which more may have come."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self._collect(0.1)
        return self.messages

    def _collect(self, seconds: float) -> None:
        deliveries = self._subscription.receive(1000, seconds)
        read = [decode(delivery.body) for delivery in deliveries]
        self.messages += [message for message in read if isinstance(message, self._kind)]
        self._subscription.acknowledge(deliveries)

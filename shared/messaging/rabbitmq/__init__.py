"""The adapter for RabbitMQ (3.10 or later, or 4). Only this package imports its driver."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Sequence
from typing import Final

from pika import exceptions

from shared import topology
from shared.messaging.port import Depth, ParkedAction, ParkedMessage
from shared.messaging.rabbitmq.connection import HEARTBEAT_SECONDS, RabbitAddress, connect
from shared.messaging.rabbitmq.consumer import RabbitSubscription
from shared.messaging.rabbitmq.parking import review
from shared.messaging.rabbitmq.publisher import RabbitPublisher
from shared.topology import Broadcast, Queue

__all__ = ["RabbitBroker"]

CLOSING_SECONDS: Final = 5.0


class RabbitBroker:
    """See `shared.messaging.port.Broker`."""

    def __init__(
        self,
        url: str,
        user: str,
        password: str,
        *,
        tls: ssl.SSLContext | None = None,
        service: str = "seamline",
        queues: Sequence[Queue] = topology.QUEUES,
        heartbeat_seconds: int = HEARTBEAT_SECONDS,
    ) -> None:
        self._address = RabbitAddress(url, user, password, heartbeat_seconds, service, tls)
        self._queues = queues
        self._publishers: list[RabbitPublisher] = []
        self._subscriptions: list[RabbitSubscription] = []
        connect(self._address, "topology", queues).close()

    def publisher(self) -> RabbitPublisher:
        """See the port."""
        publisher = RabbitPublisher(self._address, self._queues)
        self._publishers = [*(one for one in self._publishers if not one.ended), publisher]
        return publisher

    def subscribe(self, source: Queue | Broadcast, prefetch: int) -> RabbitSubscription:
        """See the port."""
        subscription = RabbitSubscription(self._address, source, prefetch, self._queues)
        self._subscriptions.append(subscription)
        return subscription

    def depth(self, queue: str) -> Depth:
        """Return the ready messages that RabbitMQ reports, and the messages that this broker's subscriptions hold."""
        connection = connect(self._address, "depth", ())
        with self._address.translated_errors():
            try:
                ready = connection.channel().queue_declare(queue, passive=True).method.message_count
            except exceptions.ChannelClosedByBroker as error:
                if error.reply_code == 404:
                    raise KeyError(queue) from None
                raise
            finally:
                connection.close()
        return Depth(ready, sum(subscription.held(queue) for subscription in self._subscriptions))

    def review(self, queue: Queue, decide: Callable[[ParkedMessage], ParkedAction], most: int = 1000) -> None:
        """See the port."""
        with self._address.translated_errors():
            connection = connect(self._address, "review", self._queues)
            try:
                review(connection, queue, decide, most, user=self._address.user)
            finally:
                connection.close()

    def troubles(self, silence_seconds: float) -> Sequence[str]:
        """See the port."""
        publishers = [publisher.trouble(silence_seconds) for publisher in self._publishers]
        return [trouble for trouble in (*publishers, *(one.trouble() for one in self._subscriptions)) if trouble]

    def close(self) -> None:
        """Close all publishers and subscriptions, together within `CLOSING_SECONDS`."""
        until = time.monotonic() + CLOSING_SECONDS
        parts: list[RabbitSubscription | RabbitPublisher] = [*self._subscriptions, *self._publishers]
        for part in parts:
            part.close(max(0.0, until - time.monotonic()))
        self._subscriptions.clear()
        self._publishers.clear()

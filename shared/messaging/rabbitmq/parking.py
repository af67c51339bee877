"""Messages put aside with a reason, and what people make of them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import pika
from pika import exceptions

from shared import topology
from shared.messaging.port import Fate, ParkedMessage, PublishRefused
from shared.topology import Queue

REASON_HEADER: Final = "x-seamline-reason"
REASON_LENGTH: Final = 1_000
"""characters; a header has to fit into a frame"""


def put(channel: Any, queue: str, body: bytes, reason: str) -> None:
    """Put a message into a queue by its name, and wait until the broker has it.

    Raises:
        PublishRefused: the queue is full, or is not there.
    """
    properties = pika.BasicProperties(
        delivery_mode=2,
        timestamp=int(datetime.now(UTC).timestamp()),
        headers={REASON_HEADER: reason[:REASON_LENGTH]} if reason else None,
    )
    try:
        channel.basic_publish(topology.DEAD, queue, body, properties, mandatory=True)
    except (exceptions.UnroutableError, exceptions.NackError) as error:
        raise PublishRefused(f"{queue} did not take a message") from error


def review(
    connection: pika.BlockingConnection, queue: Queue, decide: Callable[[ParkedMessage], Fate], most: int
) -> None:
    """See `shared.messaging.port.Broker.review`. What is kept goes back in its place when the channel closes."""
    channel = connection.channel()
    channel.confirm_delivery()
    for _ in range(most):
        method, properties, body = channel.basic_get(queue.parked)
        if method is None:
            break
        fate = decide(_parked(queue.name, properties, body))
        if fate is Fate.REPLAY:
            put(channel, queue.name, body, reason="")
        if fate is not Fate.KEEP:
            channel.basic_ack(method.delivery_tag)
    channel.close()


def _parked(queue: str, properties: Any, body: bytes) -> ParkedMessage:
    """By a reader, with its reason; or by RabbitMQ itself, when a suspect's readers died."""
    headers = properties.headers or {}
    reason = str(headers.get(REASON_HEADER, topology.DIED))[:REASON_LENGTH]
    return ParkedMessage(queue, body, reason, _parked_at(headers, properties.timestamp))


def _parked_at(headers: dict[str, Any], timestamp: int | None) -> datetime:
    """By the broker's header, or the sender's timestamp; the beginning of time if both make no sense."""
    try:
        at: datetime = headers["x-death"][0]["time"]
        return at.replace(tzinfo=UTC)
    except (LookupError, TypeError, AttributeError):
        pass
    try:
        return datetime.fromtimestamp(timestamp or 0, UTC)
    except (ValueError, OverflowError, OSError):
        return datetime.fromtimestamp(0, UTC)

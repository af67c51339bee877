"""Messages put aside with a reason, and what people make of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import pika
from pika import exceptions

from shared import topology
from shared.messaging.port import Fate, ParkedMessage, PublishRefused
from shared.topology import Queue

REASON_HEADER: Final = "x-seamline-reason"
ROUTING_KEY_HEADER: Final = "x-seamline-routing-key"
SENDER_HEADER: Final = "x-seamline-sender"
REASON_LENGTH: Final = 1_000
"""characters; a header has to fit into a frame"""


@dataclass(frozen=True)
class Origin:
    """How a message was published at first, wherever it was moved since."""

    routing_key: str
    sender: str


def origin_of(method: Any, properties: Any) -> Origin:
    """The origin of a delivery.

    Who publishes on a topic exchange is known to RabbitMQ, which checks ``user_id`` and permits each routing key.
    Dead letters carry the history that RabbitMQ wrote, ``x-death``; what `put` moved carries headers of ours, which
    count only on the exchanges that lead to one service's queues.
    """
    headers = properties.headers or {}
    sender = properties.user_id or ""
    if not _moves(method.exchange):
        # a history that did not lead here is a forgery
        return Origin("" if "x-death" in headers else method.routing_key, sender)
    try:
        for death in headers.get("x-death", []):
            if not _moves(death["exchange"]):
                return Origin(str(death["routing-keys"][0]), sender)
    except (LookupError, TypeError, AttributeError):
        return Origin("", sender)
    return Origin(str(headers.get(ROUTING_KEY_HEADER, "")), str(headers.get(SENDER_HEADER, "")))


def _moves(exchange: str) -> bool:
    """Whether an exchange moves messages from queue to queue."""
    return exchange == topology.REPLAYS or exchange.startswith(f"{topology.DEAD}.")


def put(channel: Any, exchange: str, queue: str, body: bytes, origin: Origin, *, user: str, reason: str = "") -> None:
    """Move a message into a queue by its name, and wait until the broker has it.

    Raises:
        PublishRefused: the queue is full, or is not there.
    """
    headers = {ROUTING_KEY_HEADER: origin.routing_key, SENDER_HEADER: origin.sender}
    if reason:
        headers[REASON_HEADER] = reason[:REASON_LENGTH]
    properties = pika.BasicProperties(
        delivery_mode=2, timestamp=int(datetime.now(UTC).timestamp()), headers=headers, user_id=user
    )
    try:
        channel.basic_publish(exchange, queue, body, properties, mandatory=True)
    except (exceptions.UnroutableError, exceptions.NackError) as error:
        raise PublishRefused(f"{queue} did not take a message") from error


def review(
    connection: pika.BlockingConnection, queue: Queue, decide: Callable[[ParkedMessage], Fate], most: int, *, user: str
) -> None:
    """See `shared.messaging.port.Broker.review`. What is kept goes back in its place when the channel closes."""
    channel = connection.channel()
    channel.confirm_delivery()
    for _ in range(most):
        method, properties, body = channel.basic_get(queue.parked)
        if method is None:
            break
        origin = origin_of(method, properties)
        fate = decide(_parked(queue.name, origin.sender, properties, body))
        if fate is Fate.REPLAY:
            put(channel, topology.REPLAYS, queue.name, body, origin, user=user)
        if fate is not Fate.KEEP:
            channel.basic_ack(method.delivery_tag)
    channel.close()


def _parked(queue: str, sender: str, properties: Any, body: bytes) -> ParkedMessage:
    """By a reader, with its reason; or by RabbitMQ itself, when a suspect's readers died."""
    headers = properties.headers or {}
    reason = topology.DIED if "x-death" in headers else str(headers.get(REASON_HEADER, ""))[:REASON_LENGTH]
    return ParkedMessage(queue, body, reason, _parked_at(headers, properties.timestamp), sender)


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

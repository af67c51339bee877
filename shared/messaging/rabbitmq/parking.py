"""Park messages with a reason, and review the parked messages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import pika
from pika import exceptions

from shared import topology
from shared.messaging.port import HEADER_LENGTH, HEADERS, ParkedAction, ParkedMessage, PublishRefused
from shared.topology import Queue

REASON_HEADER: Final = "x-seamline-reason"
ROUTING_KEY_HEADER: Final = "x-seamline-routing-key"
SENDER_HEADER: Final = "x-seamline-sender"
REASON_LENGTH: Final = 1_000
"""Characters: a header has to fit into a frame of AMQP."""


@dataclass(frozen=True)
class MessageOrigin:
    """How a message was first published, before it was moved."""

    routing_key: str
    sender: str
    headers: Mapping[str, str]
    """See `shared.messaging.port.Delivery.headers`."""


def origin_of(method: Any, properties: Any) -> MessageOrigin:
    """Return the origin of a delivery.

    RabbitMQ checks ``user_id`` and the routing key of each message on a topic exchange. A message without a sender gets
    an empty routing key, so that it is parked. Dead letters have the history that RabbitMQ wrote, ``x-death``; messages
    that `put` moved have our headers, which are trusted only on the exchanges that lead to the queues of one service.
    """
    headers = properties.headers or {}
    sender = properties.user_id or ""
    read = {name: value for name in HEADERS if isinstance(value := headers.get(name), str)}
    read = {name: value for name, value in read.items() if len(value) <= HEADER_LENGTH}
    if not _moves(method.exchange):
        # a history without a dead-letter exchange is forged
        return MessageOrigin(method.routing_key if sender and "x-death" not in headers else "", sender, read)
    try:
        for death in headers.get("x-death", []):
            if not _moves(death["exchange"]):
                return MessageOrigin(str(death["routing-keys"][0]) if sender else "", sender, read)
    except (LookupError, TypeError, AttributeError):
        return MessageOrigin("", sender, read)
    return MessageOrigin(str(headers.get(ROUTING_KEY_HEADER, "")), str(headers.get(SENDER_HEADER, "")), read)


def _moves(exchange: str) -> bool:
    """Return whether an exchange moves messages between queues."""
    return exchange == topology.REPLAYS or exchange.startswith(f"{topology.DEAD}.")


def put(
    channel: Any,
    exchange: str,
    queue: str,
    body: bytes,
    origin: MessageOrigin,
    *,
    user: str,
    reason: str = "",
    more: Mapping[str, object] = {},
) -> None:
    """Publish a message to a queue by its name, with ``more`` headers, and wait for the confirm.

    Raises:
        PublishRefused: the queue is full, or does not exist.
    """
    headers = {**origin.headers, ROUTING_KEY_HEADER: origin.routing_key, SENDER_HEADER: origin.sender, **more}
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
    connection: pika.BlockingConnection,
    queue: Queue,
    decide: Callable[[ParkedMessage], ParkedAction],
    most: int,
    *,
    user: str,
) -> None:
    """See `shared.messaging.port.Broker.review`. Messages that are kept return when the channel closes."""
    channel = connection.channel()
    channel.confirm_delivery()
    for _ in range(most):
        method, properties, body = channel.basic_get(queue.parked)
        if method is None:
            break
        origin = origin_of(method, properties)
        reason = str((properties.headers or {}).get(REASON_HEADER, ""))[:REASON_LENGTH]
        parked_at = datetime.fromtimestamp(0, UTC)
        with suppress(ValueError, OverflowError, OSError):  # the clock of the reader was wrong
            parked_at = datetime.fromtimestamp(properties.timestamp or 0, UTC)
        action = decide(ParkedMessage(queue.name, body, reason, parked_at, origin.sender))
        if action is ParkedAction.REPLAY:
            put(channel, topology.REPLAYS, queue.name, body, origin, user=user)
        if action is not ParkedAction.KEEP:
            channel.basic_ack(method.delivery_tag)
    channel.close()

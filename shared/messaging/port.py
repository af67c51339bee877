"""The messaging port: publishers, subscriptions and brokers.

A message is published when the broker has it on disk in every queue that receives it. A delivery belongs to the broker
until it is acknowledged; if its reader is lost before, the broker delivers it to another reader.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Final, Protocol, Self

from shared.messages import MalformedMessage, Message, decode
from shared.topology import EXCHANGE_OF, SUSPECTS, Broadcast, Queue, takes

SENT_AT: Final = "x-seamline-sent-at"
"""Header: when a traced message was sent, in nanoseconds of Unix time."""
HEADERS: Final = ("traceparent", "tracestate", SENT_AT)
"""The headers that a reader gets: the trace of the message, by W3C Trace Context. Most messages have none."""
HEADER_LENGTH: Final = 512
"""Most characters of a header; longer ones are ignored."""


class MessagingError(Exception):
    """An error of a broker."""


class BrokerUnavailable(MessagingError):
    """The broker can't be reached, or the connection was lost; a later try may succeed."""


class BrokerRefusedLogin(MessagingError):
    """The broker rejects the user or the password; trying again does not help."""


class PublishRefused(MessagingError):
    """A queue is full, and the broker refused the message; the publisher still has it."""


class UnroutableMessage(MessagingError):
    """No queue receives the message: the topology is missing or different."""


@dataclass(frozen=True)
class EncodedMessage:
    """A message that was encoded before it is published, such as a message that was stored on disk in between."""

    exchange: str
    routing_key: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    """Those of `HEADERS` that are set."""

    @classmethod
    def of(cls, message: Message) -> Self:
        """Encode a message."""
        return cls(EXCHANGE_OF[type(message)], message.routing_key, message.encode())


@dataclass(frozen=True)
class Delivery:
    """A message as it arrived. ``body`` may be any bytes; see `read`."""

    body: bytes
    tag: object
    """A handle of the adapter, which nothing else uses."""
    redelivered: bool = False
    queue: str = ""
    routing_key: str = ""
    """The key with which the message was published; brokers permit each user only some keys."""
    sender: str = ""
    """The user that published the message, checked by RabbitMQ; with the embedded broker, the name of the service."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Those of `HEADERS` that the message has. Its sender may set any value."""

    @property
    def is_suspect(self) -> bool:
        """Return whether the message was redelivered too often and is handled alone; see `shared.topology`."""
        return self.queue.endswith(SUSPECTS)

    def read(self) -> Message:
        """Decode the message.

        Raises:
            MalformedMessage: the message can't be decoded, it was published with the routing key of another message, or
                its queue does not accept its type.
        """
        message = decode(self.body)
        if not takes(self.queue, message):
            raise MalformedMessage(
                f"{type(message).__name__} by {self.sender or 'an unknown sender'}: {self.queue} takes no such messages"
            )
        if message.routing_key != self.routing_key:
            raise MalformedMessage(
                f"{type(message).__name__} belongs under routing key {message.routing_key!r} and was published under "
                f"{self.routing_key!r} by {self.sender or 'an unknown sender'}"
            )
        return message


@dataclass(frozen=True)
class Depth:
    """The number of messages in a queue."""

    ready: int
    unacknowledged: int

    @property
    def total(self) -> int:
        """Return the number of all messages."""
        return self.ready + self.unacknowledged


@dataclass(frozen=True)
class ParkedMessage:
    """A parked message."""

    queue: str
    """The queue that the message was parked from."""
    body: bytes
    reason: str
    parked_at: datetime
    sender: str = ""
    """See `Delivery.sender`."""


class ParkedAction(Enum):
    """What is done with a parked message."""

    KEEP = "keep"
    REPLAY = "replay"
    """The message returns to its queue as a new message."""
    DISCARD = "discard"


class Publisher(Protocol):
    """Publishes messages without waiting for the confirm of each."""

    def publish(self, message: Message | EncodedMessage) -> Future[None]:
        """Publish a message; the future is done when the broker has confirmed it.

        The future fails with `PublishRefused`, `UnroutableMessage` or `BrokerUnavailable`. The call blocks only while
        the window of unconfirmed messages is full. A message that failed may be in some of its queues, so publishing it
        again may repeat it there.
        """
        ...

    def close(self) -> None:
        """Wait a few seconds for the unconfirmed messages, then close."""
        ...


class Subscription(Protocol):
    """Receives the messages of a queue and of its suspects queue, or of a broadcast."""

    def receive(self, most: int, wait_seconds: float) -> Sequence[Delivery]:
        """Return up to ``most`` messages that are ready; wait for the first one at most ``wait_seconds``.

        A suspect is always returned alone.

        Raises:
            BrokerUnavailable: the connection is lost, and with it the deliveries that were not acknowledged.
        """
        ...

    def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """Acknowledge deliveries. Those of a lost connection are ignored: the broker delivers them again."""
        ...

    def park(self, delivery: Delivery, reason: str) -> None:
        """Move a message with a reason to the parked queue, and acknowledge it."""
        ...

    def close(self) -> None:
        """Stop receiving, send the pending acknowledgements, and return the other messages to the queue."""
        ...


class Broker(Protocol):
    """Opens publishers and subscriptions. Creating one creates the topology if it does not exist."""

    def publisher(self) -> Publisher:
        """Open a publisher with its own connection."""
        ...

    def subscribe(self, source: Queue | Broadcast, prefetch: int) -> Subscription:
        """Open a subscription with at most ``prefetch`` unacknowledged messages."""
        ...

    def depth(self, queue: str) -> Depth:
        """Return the number of messages in a queue, or in its suspects or parked queue.

        Raises:
            KeyError: there is no such queue.
        """
        ...

    def review(self, queue: Queue, decide: Callable[[ParkedMessage], ParkedAction], most: int = 1000) -> None:
        """Keep, replay or discard each parked message of a queue, oldest first, as ``decide`` returns.

        While a review runs, other reviews may not see the same messages. To list the messages, keep each of them.

        Raises:
            PublishRefused: the queue is full; the message stays parked.
        """
        ...

    def troubles(self, silence_seconds: float) -> Sequence[str]:
        """Return what is wrong with the publishers and subscriptions, each in a few words.

        That is a thread that has ended, or a publisher without a confirm for this time. An unavailable broker is no
        trouble: the service waits for it.
        """
        ...

    def close(self) -> None:
        """Close every publisher and subscription that is still open: in a few seconds, all together."""
        ...

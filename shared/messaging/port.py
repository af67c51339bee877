"""The messaging port: what a service may ask of a broker.

A publish is done when the broker has the message on disk in every queue that wants it. A delivery is done when it is
acknowledged; until then it belongs to the broker, which gives it to another reader when this one goes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Protocol, Self

from shared.messages import MalformedMessage, Message, decode
from shared.topology import EXCHANGE_OF, Broadcast, Queue, takes


class MessagingError(Exception):
    """Whatever goes wrong between a service and its broker."""


class BrokerUnavailable(MessagingError):
    """The broker can't be reached, or went away. Trying again later may help."""


class BrokerRefusedLogin(MessagingError):
    """The broker is there and does not accept the user or the password. Trying again does not help."""


class PublishRefused(MessagingError):
    """The broker did not take a message: a queue is full. The publisher still has it."""


class UnroutableMessage(MessagingError):
    """No queue wants the message: the topology is not there, or is another one."""


@dataclass(frozen=True)
class EncodedMessage:
    """A message that was encoded before it is published, such as one that was stored on a disk meanwhile."""

    exchange: str
    routing_key: str
    body: bytes

    @classmethod
    def of(cls, message: Message) -> Self:
        """Encode a message."""
        return cls(EXCHANGE_OF[type(message)], message.routing_key, message.encode())


@dataclass(frozen=True)
class Delivery:
    """One message as it arrived. ``body`` may be anything: reading it is the receiver's part."""

    body: bytes
    tag: object
    """The adapter's own handle; it means nothing to anyone else."""
    redelivered: bool = False
    queue: str = ""
    routing_key: str = ""
    """The key that the message was published under; brokers restrict who may use which."""
    sender: str = ""
    """The user that published it, as the broker has checked; of the embedded broker, the service that said so."""

    def read(self) -> Message:
        """Decode the message.

        Raises:
            MalformedMessage: it can't be decoded, it was published under the routing key of another message, or its
                queue takes no such messages.
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
    """How many messages a queue holds."""

    ready: int
    unacknowledged: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.ready + self.unacknowledged


@dataclass(frozen=True)
class ParkedMessage:
    """One message that was put aside."""

    queue: str
    """where it was parked from"""
    body: bytes
    reason: str
    parked_at: datetime
    sender: str = ""
    """as of the `Delivery`"""


class Fate(Enum):
    """What becomes of a parked message."""

    KEEP = "keep"
    REPLAY = "replay"
    """It goes back into its queue, as if it were new."""
    DISCARD = "discard"


class Publisher(Protocol):
    """Sends messages, many at a time under way."""

    def publish(self, message: Message | EncodedMessage) -> Future[None]:
        """Hand a message over; the future is done when the broker has confirmed it.

        The future fails with `PublishRefused`, `UnroutableMessage` or `BrokerUnavailable`. Never blocks for the broker,
        except that it waits while the window of unconfirmed messages is full. What failed may be in some of the queues
        that want it, so publishing it again may repeat it there.
        """
        ...

    def close(self) -> None:
        """Wait for what is under way (a few seconds at most), then go."""
        ...


class Subscription(Protocol):
    """Receives the messages of one queue and of its suspects, or of a broadcast."""

    def receive(self, most: int, wait_seconds: float) -> Sequence[Delivery]:
        """Up to ``most`` messages; waits for the first one at most ``wait_seconds``, then takes what is there.

        A suspect is always given alone.

        Raises:
            BrokerUnavailable: the connection is gone, and with it every delivery that was not acknowledged.
        """
        ...

    def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """These are done. A delivery of a connection that has gone is passed over: the broker gives it out again."""
        ...

    def park(self, delivery: Delivery, reason: str) -> None:
        """This one will never succeed: put it, with the reason, into the queue's ``parked``; then it is done."""
        ...

    def close(self) -> None:
        """Stop receiving, send the acknowledgements that are waiting, give back what was not acknowledged."""
        ...


class Broker(Protocol):
    """One connection's worth of everything above. Building one creates the topology if it is not there."""

    def publisher(self) -> Publisher:
        """A publisher of its own connection."""
        ...

    def subscribe(self, source: Queue | Broadcast, prefetch: int) -> Subscription:
        """Start receiving, with at most ``prefetch`` messages unacknowledged."""
        ...

    def depth(self, queue: str) -> Depth:
        """How many messages a queue (or its ``suspects`` or ``parked``) holds.

        Raises:
            KeyError: there is no such queue.
        """
        ...

    def review(self, queue: Queue, decide: Callable[[ParkedMessage], Fate], most: int = 1000) -> None:
        """Go through the parked messages of a queue, the oldest first, and do with each what ``decide`` says.

        While one review goes on, others may not see the same messages. `Fate.KEEP` for all makes it a look.

        Raises:
            PublishRefused: the queue is full, and a message that was to be replayed stays parked.
        """
        ...

    def troubles(self, silence_seconds: float) -> Sequence[str]:
        """What is wrong with its publishers and subscriptions, each in a few words.

        A thread that ended by itself, or something under way without any confirm for so long. A broker that is away is
        no trouble: it is waited for.
        """
        ...

    def close(self) -> None:
        """Close every publisher and subscription that is still open: in a few seconds, all together."""
        ...

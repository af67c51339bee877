"""The loop of a service: receive, handle, publish, wait for the confirms, acknowledge, in this order and no other.

A message is acknowledged when everything that follows from it is on the broker's disk. A process that dies anywhere in
between leaves it to another one, so handlers see a message at least once, and now and then twice.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

import structlog
from prometheus_client import Counter
from structlog.contextvars import bound_contextvars
from tenacity import RetryCallState

from shared.health import Health
from shared.messages import MalformedMessage, Message
from shared.messaging.port import BrokerUnavailable, Delivery, Publisher, PublishRefused, Subscription
from shared.retry import patient

LONGEST_PAUSE: Final = 10.0
"""Seconds between two tries; shorter than the silence after which a service is not well."""

CONFIRM_SECONDS: Final = 1.0
"""Between two signs of life of a loop that waits for a confirm."""

HANDLED: Final = Counter("seamline_messages_handled", "Messages done: answers confirmed, then acknowledged", ["queue"])
PARKED: Final = Counter("seamline_messages_parked", "Messages put aside: unreadable, or rejected", ["queue"])
RETRIED: Final = Counter("seamline_batches_retried", "Tries that have to be repeated", ["queue"])

_log = structlog.stdlib.get_logger("loop")
Result = TypeVar("Result")


class Reject(Exception):
    """A handler's answer to a message that will never succeed: park it, with this reason."""


class RetryLater(Exception):
    """A handler's answer when something it needs is away: try the same messages again."""


class Handle(Protocol):
    """What a service does with its messages."""

    def __call__(self, messages: list[Message], /) -> Sequence[Message]:
        """Messages in, the messages that follow from them out."""
        ...


@dataclass(frozen=True)
class _Read:
    """A delivery and what it says."""

    delivery: Delivery
    message: Message


def consume(
    subscription: Subscription,
    publisher: Publisher,
    handle: Handle,
    *,
    most: int,
    wait_seconds: float,
    stop: threading.Event,
    health: Health,
) -> None:
    """Handle the messages of a subscription until ``stop`` is set; then the batch at hand is finished first.

    Args:
        subscription: where messages come from.
        publisher: where the handler's answers go.
        handle: gets up to ``most`` messages. It may raise `Reject`: a batch is then handled again message by message,
            and the one that is rejected alone is parked. It may raise `RetryLater`: the same batch is handled again
            after a pause that grows. Whatever else it raises ends the service, and the messages go to another one.
        most: messages in a batch.
        wait_seconds: for the first message of a batch; after it, a batch is what is there.
        stop: set by a signal.
        health: told at each turn.
    """
    loop = _Loop(subscription, publisher, handle, stop, health)
    while not stop.is_set():
        health.beat()
        loop.turn(most, wait_seconds)


class _Loop:
    def __init__(
        self, subscription: Subscription, publisher: Publisher, handle: Handle, stop: threading.Event, health: Health
    ) -> None:
        self._subscription = subscription
        self._publisher = publisher
        self._handle = handle
        self._stop = stop
        self._health = health
        self._queue = ""

    def turn(self, most: int, wait_seconds: float) -> None:
        """One batch, from the queue to its acknowledgement."""
        try:
            deliveries = self._subscription.receive(most, wait_seconds)
        except BrokerUnavailable as error:
            _log.warning("the broker went away; waiting for it", reason=str(error))
            self._stop.wait(1.0)
            return
        if not deliveries:
            return
        self._queue = deliveries[0].queue
        readable = [read for delivery in deliveries if (read := self._read(delivery))]
        if not readable:
            return
        try:
            self._answer(readable)
        except (RetryLater, PublishRefused, BrokerUnavailable) as error:
            # only a stop ends the tries: the messages go back to the queue when the subscription is closed
            _log.warning("stopped before a batch was done; it stays in the queue", reason=str(error))

    def _read(self, delivery: Delivery) -> _Read | None:
        try:
            return _Read(delivery, delivery.read())
        except MalformedMessage as error:
            self._park(delivery, str(error))
            return None

    def _answer(self, batch: Sequence[_Read]) -> None:
        """Handle a batch to its end; one with a message that is rejected, message by message."""
        with bound_contextvars(**_frame_of(batch)):
            try:
                self._publish(self._until_done(lambda: self._handle([read.message for read in batch])))
            except Reject as rejected:
                if len(batch) == 1:
                    self._park(batch[0].delivery, str(rejected))
                    return
            else:
                self._subscription.acknowledge([read.delivery for read in batch])
                HANDLED.labels(self._queue).inc(len(batch))
                return
        for read in batch:
            self._answer([read])

    def _publish(self, answers: Sequence[Message]) -> None:
        """Wait until the broker has confirmed every answer; what it did not take is published again."""
        left = list(answers)

        def attempt() -> None:
            futures = [(self._publisher.publish(message), message) for message in left]
            failures = [(failure, message) for future, message in futures if (failure := self._outcome(future))]
            left[:] = [message for _, message in failures]
            # the one that a retry can't help comes first
            for failure, _ in sorted(failures, key=lambda failed: isinstance(failed[0], _PASSING)):
                raise failure

        self._until_done(attempt)

    def _outcome(self, confirm: Future[None]) -> BaseException | None:
        """What a confirm brings. A broker that is mute makes no loop stand: the publisher says that of itself."""
        while not confirm.done():
            self._health.beat()
            wait([confirm], timeout=CONFIRM_SECONDS)
        return confirm.exception()

    def _park(self, delivery: Delivery, reason: str) -> None:
        self._until_done(lambda: self._subscription.park(delivery, reason))
        PARKED.labels(delivery.queue).inc()
        _log.error("parked a message", queue=delivery.queue, reason=reason)

    def _until_done(self, attempt: Callable[[], Result]) -> Result:
        """Try again and again, with longer and longer pauses, as long as the trouble may pass and nobody says stop."""
        return patient(self._stop, _PASSING, longest=LONGEST_PAUSE, tell=self._tell)(attempt)

    def _tell(self, state: RetryCallState) -> None:
        self._health.beat()
        RETRIED.labels(self._queue).inc()
        if state.attempt_number == 1 and state.outcome:
            _log.warning("will try again until it succeeds", queue=self._queue, reason=str(state.outcome.exception()))


_PASSING: Final = (RetryLater, PublishRefused, BrokerUnavailable)


def _frame_of(batch: Sequence[_Read]) -> dict[str, str]:
    """The frame that log lines are about, where it is one."""
    frame = getattr(batch[0].message, "frame", None)
    return {"frame_id": frame.frame_id} if frame and len(batch) == 1 else {}

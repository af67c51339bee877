"""The loop of a service: receive, handle, publish, wait for the confirms, acknowledge, always in this order.

A message is acknowledged when everything that follows from it is on the disk of the broker or in storage. If a process
dies before, the broker gives its messages to another process: handlers see a message at least once, sometimes twice.

A handler that works in threads of its own answers with a future. The loop then gives it further batches, up to `AHEAD`
at a time, and publishes and acknowledges each batch as soon as its answer and its confirms arrive.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol, TypeVar

import structlog
from prometheus_client import Counter, Gauge
from structlog.contextvars import bound_contextvars
from tenacity import RetryCallState

from shared.health import Health
from shared.messages import MalformedMessage, Message
from shared.messaging import traces
from shared.messaging.port import BrokerUnavailable, Delivery, Publisher, PublishRefused, Subscription
from shared.messaging.traces import BatchTrace, MessageTrace
from shared.retry import retrying
from shared.storage.port import StorageUnavailable

LONGEST_PAUSE: Final = 10.0
"""Seconds between two tries; shorter than the silence after which a service counts as stalled."""

CONFIRM_SECONDS: Final = 1.0
"""Seconds between two heartbeats of a loop that waits for a confirm."""

AHEAD: Final = 4
"""Batches that are handled and not acknowledged yet, at most, where the handler answers with futures."""

ANSWER_SECONDS: Final = 0.002
"""Longest wait for a further batch while the answer or the confirms of another batch are due."""

HANDLED: Final = Counter("seamline_messages_handled", "Messages handled and acknowledged", ["queue"])
HELD: Final = Gauge("seamline_messages_held", "Messages handled and not acknowledged yet", ["queue"])
PARKED: Final = Counter("seamline_messages_parked", "Messages parked: unreadable, or rejected", ["queue"])
RETRIED: Final = Counter("seamline_batches_retried", "Tries that failed and are repeated", ["queue"])

_log = structlog.stdlib.get_logger("loop")
Result = TypeVar("Result")


class Reject(Exception):
    """A message that no later try would handle: the loop parks it, with this reason."""


class RetryLater(Exception):
    """Something that the handler needs is unavailable: the loop tries the same messages again."""


@dataclass(frozen=True)
class Received:
    """A delivery with its decoded message."""

    delivery: Delivery
    message: Message
    trace: MessageTrace | None = None


@dataclass(frozen=True)
class Outcome:
    """What follows from a batch."""

    messages: Sequence[Message] | Future[Sequence[Message]] = ()
    """Published before the batch is acknowledged; with a future, the loop handles further batches meanwhile.

    The future may fail as a handler does: with `Reject`, `RetryLater` or an error that ends the service.
    """
    stored: Future[None] | None = None
    """The acknowledgement waits for this future, and the loop handles further batches meanwhile.

    If it fails with `StorageUnavailable`, the batch stays in the queue; another error ends the service.
    """
    rejected: Mapping[int, str] = field(default_factory=dict)
    """The messages to park, by their position in the batch, with the reason."""


class Handle(Protocol):
    """Handle a batch of messages."""

    def __call__(self, messages: list[Message], /) -> Sequence[Message] | Future[Sequence[Message]]:
        """Return the messages that follow from a batch; see `Outcome.messages`."""
        ...


class HandleReceived(Protocol):
    """Handle a batch of messages with their deliveries."""

    def __call__(self, batch: Sequence[Received], /) -> Outcome:
        """Return what follows from a batch."""
        ...


@dataclass
class Begun:
    """A batch whose answer or whose confirms are due."""

    batch: Sequence[Received]
    outcome: Outcome
    answer: Future[Sequence[Message]]
    trace: BatchTrace
    sent: list[tuple[Future[None], Message]] | None = None
    """The messages of the answer, each with its confirm; None before they are published."""

    @property
    def due(self) -> Future[Any] | None:
        """Return what the batch waits for, or None."""
        if self.sent is None:
            return self.answer
        return next((confirm for confirm, _ in self.sent if not confirm.done()), None)


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
    """Handle the messages of a subscription until ``stop`` is set; the batches at hand are finished first.

    Args:
        subscription: where messages come from.
        publisher: publishes the messages that the handler returns.
        handle: gets up to ``most`` messages. It may raise `Reject`: the batch is then handled again message by message,
            and the one that is rejected alone is parked. It may raise `RetryLater`: the same batch is handled again
            after a growing pause. Any other error ends the service, and the messages go to another process.
        most: messages in a batch.
        wait_seconds: most seconds to wait for the first message of a batch; the batch is the messages that have
            arrived by then.
        stop: set by a signal.
        health: gets a heartbeat at each turn.
    """

    def handle_received(batch: Sequence[Received]) -> Outcome:
        return Outcome(handle([received.message for received in batch]))

    loop = Loop(subscription, publisher, handle_received, stop, health)
    loop.run(most, wait_seconds)


class Loop:
    """The loop over one subscription, for handlers that also need the deliveries or a later acknowledgement.

    See `consume` for the arguments.
    """

    def __init__(
        self,
        subscription: Subscription,
        publisher: Publisher | None,
        handle: HandleReceived,
        stop: threading.Event,
        health: Health,
        *,
        flush: Callable[[], None] = lambda: None,
    ) -> None:
        """``flush`` is called at the stop: what the futures of the outcomes wait for is then finished at once."""
        self._subscription = subscription
        self._publisher = publisher
        self._handle = handle
        self._stop = stop
        self._health = health
        self._flush = flush
        self._queue = ""
        self._held: deque[tuple[Future[None] | None, Sequence[Delivery], BatchTrace]] = deque()
        """The batches that are handled and not acknowledged yet, oldest first."""
        self._begun: deque[Begun] = deque()
        """The batches whose answers or confirms are due, oldest first."""

    def run(self, most: int, wait_seconds: float) -> None:
        """Handle batches until ``stop`` is set, then wait for the batches that are not acknowledged yet."""
        while not self._stop.is_set():
            self._beat()
            self.turn(most, wait_seconds)
        self._finish_begun()
        self._flush()
        for stored, *_ in self._held:
            if stored:
                self._wait(stored)
        self._acknowledge_stored()

    def turn(self, most: int, wait_seconds: float) -> None:
        """Receive a batch and handle it, or begin to; publish what is answered, acknowledge what is confirmed."""
        self._finish_begun(down_to=AHEAD - 1)
        try:
            deliveries = self._subscription.receive(most, ANSWER_SECONDS if self._begun else wait_seconds)
        except BrokerUnavailable as error:
            _log.warning("the broker is unavailable; waiting for it", reason=str(error))
            self._stop.wait(1.0)
            return
        with self._leaving_in_the_queue():
            batch = []
            for delivery in deliveries:
                self._queue = delivery.queue
                try:
                    message = delivery.read()
                    batch.append(Received(delivery, message, traces.receive(delivery, message)))
                except MalformedMessage as error:
                    self._park(delivery, str(error))
            if batch and batch[0].delivery.is_suspect:
                self._finish_begun()  # the suspect may end the process: it is handled alone
            if batch:
                self._handle_batch(batch, wait_for_answer=batch[0].delivery.is_suspect)
        self._advance()
        self._acknowledge_stored()

    @contextmanager
    def _leaving_in_the_queue(self) -> Iterator[None]:
        """Log an error that only a stop lets out of the tries: the messages go back when the subscription is closed."""
        try:
            yield
        except PASSING as error:
            _log.warning("stopped before a batch was handled; it stays in the queue", reason=str(error))

    def _beat(self) -> None:
        """Record a heartbeat, except while an answer is due: a handler that hangs counts as stalled.

        While a confirm is due, the publisher reports stalls.
        """
        if all(begun.sent is not None for begun in self._begun):
            self._health.beat()

    def _advance(self) -> None:
        """Publish the answers that have arrived, in order, and end the batches whose confirms have arrived."""
        for begun in self._begun:
            if begun.sent is None:
                if not begun.answer.done():
                    break
                self._health.beat()
                begun.sent = []
                begun.trace.answered()
                if begun.answer.exception() is None and (publisher := self._publisher):
                    begun.sent += [
                        (begun.trace.publish(publisher, message), message) for message in begun.answer.result()
                    ]
        while self._begun and self._begun[0].due is None:
            begun = self._begun.popleft()
            with self._leaving_in_the_queue():
                self._end(begun)

    def _end(self, begun: Begun) -> None:
        """End a batch that is answered; publish what was refused again, and handle the batch again if it failed."""
        try:
            begun.answer.result()
        except (Reject, RetryLater):
            self._handle_batch(begun.batch)
            return
        refused = [message for confirm, message in begun.sent or () if confirm.exception()]
        self._publish(refused, begun.trace)
        self._hold(begun.batch, begun.outcome, begun.trace)

    def _finish_begun(self, down_to: int = 0) -> None:
        """Wait until at most this number of batches has an answer or a confirm due."""
        self._advance()
        while len(self._begun) > down_to:
            oldest, unanswered = self._begun[0], next((one for one in self._begun if one.sent is None), None)
            self._beat()
            due = [one.due for one in (oldest, unanswered) if one and one.due]
            wait(due, timeout=CONFIRM_SECONDS, return_when=FIRST_COMPLETED)
            self._advance()

    def _handle_batch(self, batch: Sequence[Received], *, wait_for_answer: bool = True) -> None:
        """Handle a batch, or begin to; if one of its messages is rejected, handle it message by message."""
        trace = traces.begin_batch(batch[0].delivery.queue, [received.trace for received in batch])

        def attempt() -> Outcome:
            with trace.handling():
                outcome = self._handle(batch)
                if wait_for_answer and isinstance(outcome.messages, Future):
                    return replace(outcome, messages=outcome.messages.result())
                return outcome

        frame = getattr(batch[0].message, "frame", None)
        fields = {"frame_id": frame.frame_id} if frame and len(batch) == 1 else {}
        with bound_contextvars(**fields):
            try:
                outcome = self._retry(attempt)
            except Reject as rejected:
                trace.answered()
                if len(batch) == 1:
                    self._park(batch[0].delivery, str(rejected))
                    trace.end("Reject")
                    return
            else:
                if isinstance(outcome.messages, Future):
                    self._begun.append(Begun(batch, outcome, outcome.messages, trace))
                else:
                    trace.answered()
                    self._publish(outcome.messages, trace)
                    self._hold(batch, outcome, trace)
                return
        for received in batch:
            self._handle_batch([received])

    def _hold(self, batch: Sequence[Received], outcome: Outcome, trace: BatchTrace) -> None:
        """Park what is rejected of a batch, and acknowledge the rest as soon as it is stored."""
        handled = [each.delivery for place, each in enumerate(batch) if place not in outcome.rejected]
        for place in outcome.rejected:
            if rejected := batch[place].trace:
                rejected.span.end("Reject")
        self._held.append((outcome.stored, handled, trace))
        HELD.labels(batch[0].delivery.queue).inc(len(handled))
        self._acknowledge_stored()
        for place, reason in outcome.rejected.items():
            self._park(batch[place].delivery, reason)

    def _publish(self, messages: Iterable[Message], trace: BatchTrace) -> None:
        """Publish messages until the broker has confirmed each; those that it refuses are published again."""
        publisher, unconfirmed = self._publisher, list(messages)
        if publisher is None or not unconfirmed:
            return

        def attempt() -> None:
            futures = [(trace.publish(publisher, message), message) for message in unconfirmed]
            failures = [(failure, message) for future, message in futures if (failure := self._wait(future))]
            unconfirmed[:] = [message for _, message in failures]
            # an error that no retry mends comes first
            for failure, _ in sorted(failures, key=lambda failed: isinstance(failed[0], PASSING)):
                raise failure

        self._retry(attempt)

    def _wait(self, future: Future[None]) -> BaseException | None:
        """Return the error of a future, or None. The loop is healthy while it waits: the publisher reports stalls."""
        while not future.done():
            self._health.beat()
            wait([future], timeout=CONFIRM_SECONDS)
        return future.exception()

    def _acknowledge_stored(self) -> None:
        """Acknowledge the batches whose futures are done, in the order in which they were received."""
        done: list[Delivery] = []
        while self._held and ((stored := self._held[0][0]) is None or stored.done()):
            _, deliveries, trace = self._held.popleft()
            if deliveries:
                HELD.labels(deliveries[0].queue).dec(len(deliveries))
            try:
                if stored:
                    stored.result()
            except StorageUnavailable as error:
                _log.warning("a batch was not stored; it stays in the queue", queue=self._queue, reason=str(error))
                trace.end("StorageUnavailable")
            else:
                trace.end()
                done.extend(deliveries)
        if done:
            self._subscription.acknowledge(done)
            HANDLED.labels(self._queue).inc(len(done))

    def _park(self, delivery: Delivery, reason: str) -> None:
        self._retry(lambda: self._subscription.park(delivery, reason))
        PARKED.labels(delivery.queue).inc()
        _log.error("parked a message", queue=delivery.queue, reason=reason)

    def _retry(self, attempt: Callable[[], Result]) -> Result:
        """Retry with backoff until the attempt succeeds, fails for good, or ``stop`` is set."""

        def before_pause(state: RetryCallState) -> None:
            self._health.beat()
            RETRIED.labels(self._queue).inc()
            if state.attempt_number == 1 and state.outcome:
                reason = str(state.outcome.exception())
                _log.warning("will try again until it succeeds", queue=self._queue, reason=reason)

        return retrying(self._stop, PASSING, longest=LONGEST_PAUSE, before_pause=before_pause)(attempt)


PASSING: Final = (RetryLater, PublishRefused, BrokerUnavailable)
"""Errors after which the loop tries again."""

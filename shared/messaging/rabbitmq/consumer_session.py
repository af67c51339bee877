"""One connection of a subscription, from connecting to its loss."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

import structlog
from pika import exceptions

from shared.messaging.port import BrokerUnavailable, Delivery, MessagingError
from shared.messaging.rabbitmq.connection import RAISED_BY_PIKA, RabbitAddress, connect
from shared.messaging.rabbitmq.parking import MessageOrigin, origin_of, put
from shared.messaging.rabbitmq.trials import LOSSES_HEADER, SuspectDecision, Trials, digest, losses_of
from shared.topology import BROADCAST_LIMIT, DELIVERY_LIMIT, DIED, Broadcast, Queue, WhenFull

TURN_SECONDS: Final = 1.0
"""Longest wait for data from the broker; a new job ends the wait."""

MOST_SUSPECTS: Final = 20
"""Most suspects that one query reads."""

_log = structlog.stdlib.get_logger("messaging")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Tag:
    """A delivery tag with the channel on which it is valid."""

    channel: Any
    number: int


@dataclass(frozen=True)
class Suspect:
    """A suspect that this reader has received, and how often its readers were lost."""

    delivery: Delivery
    source: Queue
    losses: int


class ConsumerSession:
    """The connection and its channels. Only `ask` and `held` may be used by other threads than that of `run`."""

    def __init__(
        self,
        address: RabbitAddress,
        source: Queue | Broadcast,
        prefetch: int,
        queues: Sequence[Queue],
        *,
        arrive: Callable[[Delivery], None],
        trials: Trials,
    ) -> None:
        self.held: dict[Tag, str] = {}
        """The unacknowledged messages, with their queues."""
        self._address = address
        self._source = source
        self._arrive = arrive
        self._trials = trials
        self._suspects: dict[Tag, Suspect] = {}
        """The suspects among the unacknowledged messages."""
        self._jobs: deque[Callable[[], None]] = deque()
        self._lock = threading.Lock()
        self._alive = True
        self._lost: MessagingError = BrokerUnavailable(f"RabbitMQ at {address.name}: the connection was closed")
        self._connection = connect(address, "subscription", queues)
        try:
            with address.translated_errors():
                self._channel = self._connection.channel()
                self._channel.basic_qos(prefetch_count=prefetch)
                self._channel.add_on_cancel_callback(self._on_cancelled)
                # for messages that are read or written one by one: suspects and parked messages
                self._aside = self._connection.channel()
                self._aside.confirm_delivery()
                self._queue = source.name if isinstance(source, Queue) else self._listen(source)
                self._consumer = self._channel.basic_consume(self._queue, self._on_message)
        except MessagingError:
            self._end()
            raise
        trials.connected()

    def run(self, closing: threading.Event) -> MessagingError | None:
        """Serve until the connection is lost, and return the reason; or until ``closing`` is set, and return None."""
        try:
            with self._address.translated_errors():
                while not closing.is_set():
                    if self._connection.is_closed:  # a job noticed it, and its future has the reason
                        return self._lost
                    self._connection.process_data_events(TURN_SECONDS)
                    self._do_jobs()
                    if self._trials.owes:
                        self._clear_survived()
                self._channel.basic_cancel(self._consumer)
                self._do_jobs()
                for suspect in list(self._suspects.values()):
                    self._give_back(suspect)
                self._connection.process_data_events(0)
        except MessagingError as error:
            return None if closing.is_set() else error
        finally:
            self._end()
        return None

    def ask(self, job: Callable[[], Result]) -> Future[Result]:
        """Run a job in the thread of the session; callable from any thread."""
        answer: Future[Result] = Future()

        def do() -> None:
            try:
                with self._address.translated_errors():
                    result = job()
            except MessagingError as error:
                self._lost = error
                answer.set_exception(error)
            except BaseException as error:
                answer.set_exception(error)
                raise
            else:
                answer.set_result(result)

        with self._lock:
            if self._alive:
                self._jobs.append(do)
                with suppress(exceptions.ConnectionWrongStateError):  # `run` notices it next
                    self._connection.add_callback_threadsafe(_wake)
                return answer
        answer.set_exception(BrokerUnavailable(f"RabbitMQ at {self._address.name}: the connection is gone"))
        return answer

    def acknowledge(self, tags: Sequence[object]) -> None:
        """Acknowledge messages; those of an earlier session are ignored."""
        known = [tag for tag in dict.fromkeys(tags) if isinstance(tag, Tag) and tag in self.held]
        for tag in known:
            del self.held[tag]
            if suspect := self._suspects.pop(tag, None):
                self._trials.clear(suspect.delivery.body)
        for channel in {tag.channel for tag in known}:
            numbers = sorted(tag.number for tag in known if tag.channel is channel)
            oldest_held = next((tag.number for tag in self.held if tag.channel is channel), numbers[-1] + 1)
            before = [number for number in numbers if number < oldest_held]
            if before:  # pika waits for the socket at each acknowledgement
                channel.basic_ack(before[-1], multiple=True)
            for number in numbers[len(before) :]:
                channel.basic_ack(number)

    def move(self, delivery: Delivery, source: Queue, queue: str, reason: str = "", losses: int = 0) -> None:
        """Copy a message into another queue of the source, and acknowledge it when the copy is confirmed."""
        if delivery.tag in self.held:
            origin = MessageOrigin(delivery.routing_key, delivery.sender, delivery.headers)
            put(
                self._aside,
                source.dead_letters,
                queue,
                delivery.body,
                origin,
                user=self._address.user,
                reason=reason,
                more={LOSSES_HEADER: losses} if losses else {},
            )
            self.acknowledge([delivery.tag])

    def next_suspect(self) -> Delivery | None:
        """Return the next suspect to handle, unless one is being handled."""
        if self._suspects:
            return None
        for suspect in self._each_suspect():
            match self._trials.judge(suspect.delivery.body, suspect.losses):
                case SuspectDecision.TRY:
                    return suspect.delivery
                case SuspectDecision.WAIT:
                    self._give_back(suspect)
                case SuspectDecision.PARK:
                    self.move(suspect.delivery, suspect.source, suspect.source.parked, DIED)
        return None

    def _clear_survived(self) -> None:
        """Clear the suspects that this process held when its connection was lost: it has survived them."""
        for suspect in self._each_suspect():
            if self._trials.clear(suspect.delivery.body):
                _log.info("cleared a suspect: its connection was cut", queue=suspect.source.name)
                self._give_back(replace(suspect, losses=0))
            else:
                self._give_back(suspect)

    def _each_suspect(self) -> Iterator[Suspect]:
        """Yield suspects, oldest first, until one comes that was returned; the caller must move or handle each."""
        source = self._source
        seen: set[bytes] = set()
        while isinstance(source, Queue) and len(seen) < MOST_SUSPECTS:
            method, properties, body = self._aside.basic_get(source.suspects)
            if method is None:
                return
            delivery = self._hold(self._aside, method, properties, body, source.suspects)
            suspect = Suspect(delivery, source, losses_of(properties))
            self._suspects[Tag(self._aside, method.delivery_tag)] = suspect
            if digest(body) in seen:
                self._give_back(suspect)
                return
            seen.add(digest(body))
            yield suspect

    def _give_back(self, suspect: Suspect) -> None:
        """Move a suspect to the end of its queue, with its losses: RabbitMQ would count a rejection as a delivery."""
        self.move(suspect.delivery, suspect.source, suspect.source.suspects, losses=suspect.losses)

    def _listen(self, source: Broadcast) -> str:
        """Create a queue for a broadcast that ends with this connection, and return its name."""
        arguments = {"x-max-length": BROADCAST_LIMIT}
        declared = self._channel.queue_declare("", exclusive=True, auto_delete=True, arguments=arguments)
        name: str = declared.method.queue
        self._channel.queue_bind(name, source.exchange, source.binding)
        return name

    def _on_message(self, channel: Any, method: Any, properties: Any, body: bytes) -> None:
        delivery = self._hold(channel, method, properties, body, self._queue)
        source = self._source
        deliveries = (properties.headers or {}).get("x-delivery-count", 0)
        # for a queue that sheds, RabbitMQ does not check whether too many readers of a message were lost
        if isinstance(source, Queue) and source.when_full is WhenFull.SHED and deliveries > DELIVERY_LIMIT:
            self._jobs.append(lambda: self.move(delivery, source, source.suspects))
        else:
            self._arrive(delivery)

    def _hold(self, channel: Any, method: Any, properties: Any, body: bytes, queue: str) -> Delivery:
        tag = Tag(channel, method.delivery_tag)
        self.held[tag] = queue
        again = method.redelivered or queue != self._queue
        origin = origin_of(method, properties)
        return Delivery(body, tag, again, queue, origin.routing_key, origin.sender, origin.headers)

    def _on_cancelled(self, _method: Any) -> None:
        """Reconnect when the queue was deleted: that creates the topology again."""
        self._jobs.append(self._connection.close)

    def _do_jobs(self) -> None:
        while self._jobs:
            self._jobs.popleft()()

    def _end(self) -> None:
        with self._lock:
            self._alive = False
        # waiting jobs get the error of the connection
        for finish in (*self._jobs, self._connection.close):
            with suppress(MessagingError, *RAISED_BY_PIKA):
                finish()
        for suspect in self._suspects.values():
            self._trials.survived(suspect.delivery.body)
        self._suspects.clear()
        self.held.clear()


def _wake() -> None:
    """Do nothing: a callback ends the wait of the thread of the connection."""

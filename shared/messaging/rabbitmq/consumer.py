"""Receive messages from RabbitMQ: a thread serves the connection, so that handlers may take minutes for a batch."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Final

from shared.messaging.port import BrokerUnavailable, Delivery, MessagingError
from shared.messaging.rabbitmq.connection import RabbitAddress, connect_with_retry
from shared.messaging.rabbitmq.consumer_session import ConsumerSession
from shared.messaging.rabbitmq.trials import Trials
from shared.topology import Broadcast, Queue

CLOSING_SECONDS: Final = 5.0
RECONNECT_SECONDS: Final = 0.2
"""Seconds between a lost connection and the first try to connect again."""
SUSPECTS_SECONDS: Final = 1.0
"""Seconds between two queries for a suspect, while there is none."""
LOOK_SECONDS: Final = 1.0
"""Longest wait for the answer to such a query: the broker may hang."""


class RabbitSubscription:
    """See `shared.messaging.port.Subscription`.

    `receive` raises the error of a lost connection once; the next calls wait for a new connection as for a message. The
    queue of a broadcast ends with its connection: messages that are sent before the next connection are not received.
    """

    def __init__(
        self, address: RabbitAddress, source: Queue | Broadcast, prefetch: int, queues: Sequence[Queue]
    ) -> None:
        self._address = address
        self._source = source
        self._prefetch = prefetch
        self._queues = queues
        self._closing = threading.Event()
        self._changed = threading.Condition()
        self._inbox: deque[Delivery] = deque()
        self._trouble: Exception | None = None
        self._look: Future[Delivery | None] | None = None
        """The query for a suspect that has no answer yet."""
        self._suspects_at = 0.0
        self._suspect_was_last = False
        self._trials = Trials()
        self._session = self._open()
        self._thread = threading.Thread(target=self._run, name="subscription", daemon=True)
        self._thread.start()

    def receive(self, most: int, wait_seconds: float) -> Sequence[Delivery]:
        """See the port."""
        deadline = time.monotonic() + wait_seconds
        suspect = self._suspect_in_turn()
        if suspect:
            return [suspect]
        with self._changed:
            self._changed.wait_for(
                lambda: self._inbox or self._trouble or self._closing.is_set(), max(0.0, deadline - time.monotonic())
            )
            if self._trouble:
                trouble, self._trouble = self._trouble, None
                assert trouble is not None  # noqa: S101
                raise trouble
            return [self._inbox.popleft() for _ in range(min(most, len(self._inbox)))]

    def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """See the port."""
        session, tags = self._session, [delivery.tag for delivery in deliveries]
        session.ask(lambda: session.acknowledge(tags))

    def park(self, delivery: Delivery, reason: str) -> None:
        """See the port."""
        if isinstance(self._source, Broadcast):  # a broadcast has no parked queue
            self.acknowledge([delivery])
            return
        session, source = self._session, self._source
        session.ask(lambda: session.move(delivery, source, source.parked, reason)).result()

    def held(self, queue: str) -> int:
        """Return the number of messages of a queue that this subscription holds."""
        return list(self._session.held.values()).count(queue)

    def trouble(self) -> str:
        """Return what is wrong, in a few words; empty if the subscription is healthy."""
        ended = not self._thread.is_alive() and not self._closing.is_set()
        return f"the subscription of {self._source.name} has ended" if ended else ""

    def close(self, seconds: float = CLOSING_SECONDS) -> None:
        """See the port."""
        if self._closing.is_set():
            return
        self._closing.set()
        self._session.ask(lambda: None)
        with self._changed:
            self._changed.notify_all()
        self._thread.join(seconds)

    def _suspect_in_turn(self) -> Delivery | None:
        """Return a suspect, if one is due: in turn with other messages, else once in `SUSPECTS_SECONDS`."""
        in_turn = not (self._suspect_was_last and self._inbox) and time.monotonic() >= self._suspects_at
        self._suspect_was_last = False
        if self._trouble or self._closing.is_set():
            return None
        if self._look is None and in_turn:
            self._look = self._session.ask(self._session.next_suspect)
        if self._look is None:
            return None
        try:
            suspect = self._look.result(LOOK_SECONDS)
        except TimeoutError:
            return None
        except MessagingError:
            suspect = None  # the connection is lost: `receive` raises the reason as soon as it is known
        self._look = None
        if suspect:
            self._suspect_was_last = True
        else:
            self._suspects_at = time.monotonic() + SUSPECTS_SECONDS
        return suspect

    def _arrive(self, delivery: Delivery) -> None:
        with self._changed:
            self._inbox.append(delivery)
            self._changed.notify_all()

    def _open(self) -> ConsumerSession:
        return ConsumerSession(
            self._address, self._source, self._prefetch, self._queues, arrive=self._arrive, trials=self._trials
        )

    def _run(self) -> None:
        try:
            self._serve()
        except Exception as error:
            self._lose(error)  # else `receive` would wait forever
            raise

    def _serve(self) -> None:
        while True:
            failure = self._session.run(self._closing)
            if failure:
                self._lose(BrokerUnavailable(str(failure)))
            if self._closing.wait(RECONNECT_SECONDS):
                return
            try:
                self._session = connect_with_retry(self._closing, self._open)
            except MessagingError as error:
                self._lose(error)
                return

    def _lose(self, failure: Exception) -> None:
        with self._changed:
            self._inbox.clear()
            self._trouble = failure
            self._changed.notify_all()

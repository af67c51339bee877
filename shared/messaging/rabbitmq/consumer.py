"""Reading from RabbitMQ: a thread talks to the broker, so that whoever computes may take minutes for a batch."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Final

from shared.messaging.port import BrokerUnavailable, Delivery, MessagingError
from shared.messaging.rabbitmq.connection import Address, patiently
from shared.messaging.rabbitmq.session import Session
from shared.messaging.rabbitmq.trials import Trials
from shared.topology import Broadcast, Queue

CLOSING_SECONDS: Final = 5.0
BREATH_SECONDS: Final = 0.2
"""Between losing a connection and asking for the next one."""
SUSPECTS_SECONDS: Final = 1.0
"""Between two looks for a suspect, while there are none."""
LOOK_SECONDS: Final = 1.0
"""The longest that a look keeps its caller waiting; the broker may be mute."""


class RabbitSubscription:
    """See `shared.messaging.port.Subscription`.

    A lost connection is told once, by `receive`; the calls after it wait for the next connection as for a message. The
    queue of a broadcast ends with its connection: what is said before the next one is not heard.
    """

    def __init__(self, address: Address, source: Queue | Broadcast, prefetch: int, queues: Sequence[Queue]) -> None:
        self._address = address
        self._source = source
        self._prefetch = prefetch
        self._queues = queues
        self._closing = threading.Event()
        self._changed = threading.Condition()
        self._inbox: deque[Delivery] = deque()
        self._trouble: Exception | None = None
        self._look: Future[Delivery | None] | None = None
        """For a suspect, under way."""
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
        if isinstance(self._source, Broadcast):  # nobody comes back for one hearer's copy
            self.acknowledge([delivery])
            return
        session, source = self._session, self._source
        session.ask(lambda: session.move(delivery, source, source.parked, reason)).result()

    def held(self, queue: str) -> int:
        """How many messages of a queue are with this reader."""
        return list(self._session.held.values()).count(queue)

    def trouble(self) -> str:
        """What is wrong with it, in a few words; empty when it is well."""
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
        """A suspect now and then: in turn with the others when there are some, and else once in a while."""
        in_turn = not (self._suspect_was_last and self._inbox) and time.monotonic() >= self._suspects_at
        self._suspect_was_last = False
        if self._trouble or self._closing.is_set():
            return None
        if self._look is None and in_turn:
            self._look = self._session.ask(self._session.next_suspect)
        return self._looked() if self._look else None

    def _looked(self) -> Delivery | None:
        """What a look found, if it is over."""
        assert self._look  # noqa: S101
        try:
            suspect = self._look.result(LOOK_SECONDS)
        except TimeoutError:
            return None
        except MessagingError:
            suspect = None  # the connection is gone: that is told as soon as it is known why
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

    def _open(self) -> Session:
        return Session(
            self._address, self._source, self._prefetch, self._queues, arrive=self._arrive, trials=self._trials
        )

    def _run(self) -> None:
        try:
            self._serve()
        except Exception as error:
            self._lose(error)  # `receive` would wait for ever
            raise

    def _serve(self) -> None:
        while True:
            failure = self._session.run(self._closing)
            if failure:
                self._lose(BrokerUnavailable(str(failure)))
            if self._closing.wait(BREATH_SECONDS):
                return
            try:
                self._session = patiently(self._closing, self._open)
            except MessagingError as error:
                self._lose(error)
                return

    def _lose(self, failure: Exception) -> None:
        with self._changed:
            self._inbox.clear()
            self._trouble = failure
            self._changed.notify_all()

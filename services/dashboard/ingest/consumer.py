"""The intake: from a queue into the projection and the archive, then acknowledged.

A message is applied to the projection at once, so that pages are live, and acknowledged when the archive has it on
disk. In between it is *held*: while object storage is away, counting goes on until the prefetch is held, and the rest
waits at the broker. Whatever a crash leaves unacknowledged comes again and changes nothing.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Final, TypeVar

import structlog
from prometheus_client import Counter, Gauge
from tenacity import RetryCallState

from services.dashboard.ingest.archive import Archive
from services.dashboard.ingest.projector import FLEETING, Projector, UnwantedMessage
from services.dashboard.store.errors import AWAY
from shared.health import Health
from shared.messages import REASON_LENGTH, MalformedMessage, Message
from shared.messaging.port import Broker, BrokerUnavailable, Delivery, Subscription
from shared.retry import patient
from shared.storage.port import StorageUnavailable
from shared.topology import Queue

BATCH: Final = 500
WAIT_SECONDS: Final = 0.1
LONGEST_PAUSE: Final = 5.0
PASSING: Final = (*AWAY, BrokerUnavailable)

HELD: Final = Gauge("dashboard_held_messages", "Messages applied and not yet acknowledged", ["queue"])
PARKED: Final = Counter(
    "dashboard_parked_messages", "Messages put aside: unreadable, or not the dashboard's", ["queue"]
)

_log = structlog.stdlib.get_logger("intake")
Result = TypeVar("Result")


class Intake:
    """Takes in one queue, in a thread of its own."""

    def __init__(
        self,
        broker: Broker,
        queue: Queue,
        projector: Projector,
        archive: Archive,
        *,
        prefetch: int,
        stop: threading.Event,
    ) -> None:
        self.health = Health(name=f"the intake of {queue.name}")
        self.failure: BaseException | None = None
        """What ended the thread before it was told to stop."""
        self._queue = queue
        self._subscription: Subscription = broker.subscribe(queue, prefetch)
        self._projector = projector
        self._archive = archive
        self._stop = stop
        self._held: deque[tuple[Future[None], Sequence[Delivery]]] = deque()
        self._thread = threading.Thread(target=self._run, name=f"intake {queue.name}", daemon=True)

    def start(self, failed: Callable[[], None]) -> None:
        """Start taking in; ``failed`` is called when something unknown ends it."""
        self._failed = failed
        self._thread.start()

    def join(self, patience: float | None = None) -> None:
        """Wait until what was taken in is acknowledged or given back."""
        if self._thread.ident is None:
            self._subscription.close()  # it never started
        else:
            self._thread.join(patience)

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self.health.beat()
                self._turn()
            self._archive.hurry()
            self._acknowledge_kept(wait=True)
        except Exception as error:  # noqa: BLE001  the process ends, and says so
            _log.exception("the intake ended", queue=self._queue.name)
            self.failure = error
            self._failed()
        finally:
            self._subscription.close()

    def _turn(self) -> None:
        try:
            deliveries = self._subscription.receive(BATCH, WAIT_SECONDS)
        except BrokerUnavailable as error:
            _log.warning("the broker went away; waiting for it", queue=self._queue.name, reason=str(error))
            self._stop.wait(1.0)
            return
        try:
            readable = [(delivery, message) for delivery in deliveries if (message := self._read(delivery))]
            if readable:
                self._take_in([delivery for delivery, _ in readable], [message for _, message in readable])
        except PASSING as error:
            _log.warning("stopped before a batch was counted; it stays in the queue", reason=str(error))
        self._acknowledge_kept()

    def _read(self, delivery: Delivery) -> Message | None:
        try:
            message = delivery.read()
            self._projector.check(message)
        except (MalformedMessage, UnwantedMessage) as error:
            self._park(delivery, str(error))
            return None
        return message

    def _park(self, delivery: Delivery, reason: str) -> None:
        self._until_done(self._subscription.park, delivery, reason)
        PARKED.labels(self._queue.name).inc()
        _log.error("parked a message", queue=self._queue.name, reason=reason)

    def _take_in(self, deliveries: Sequence[Delivery], messages: Sequence[Message]) -> None:
        unfit: dict[int, Exception] = {}

        def apply() -> None:
            unfit.clear()
            unfit.update(self._projector.apply_valid(messages).rejected)

        if all(type(message) in FLEETING for message in messages):
            batch = ""  # of nothing in the archive: a mark would stay in Redis for a day
            self._until_done(apply)
        else:
            batch = self._until_done(self._projector.watermark.apply, apply)
        fit = [place for place in range(len(messages)) if place not in unfit]
        lasting = [place for place in fit if type(messages[place]) not in FLEETING]
        kept = _done()
        if lasting:
            senders = [deliveries[place].sender for place in lasting]
            kept = self._archive.keep([messages[place] for place in lasting], batch, senders)
        self._held.append((kept, [deliveries[place] for place in fit]))
        for place, error in unfit.items():
            self._park(deliveries[place], f"it can't be applied: {type(error).__name__}: {error}"[:REASON_LENGTH])
        if any(delivery.queue != self._queue.name for delivery in deliveries):
            self._archive.hurry()  # the next suspect is given when this one is done

    def _until_done(self, attempt: Callable[..., Result], *args: object) -> Result:
        """Try until it succeeds, or until the stop, as long as the trouble may pass."""
        return patient(self._stop, PASSING, shortest=0.1, longest=LONGEST_PAUSE, tell=self._tell)(attempt, *args)

    def _acknowledge_kept(self, *, wait: bool = False) -> None:
        done: list[Delivery] = []
        while self._held and (wait or self._held[0][0].done()):
            kept, deliveries = self._held.popleft()
            try:
                kept.result()
            except StorageUnavailable:
                continue  # closing: they stay in the queue
            done.extend(deliveries)
        if done:
            self._subscription.acknowledge(done)
        HELD.labels(self._queue.name).set(sum(len(deliveries) for _, deliveries in self._held))

    def _tell(self, state: RetryCallState) -> None:
        self.health.beat()
        if state.attempt_number == 1 and state.outcome:
            error = state.outcome.exception()
            _log.warning("will try again until it succeeds", queue=self._queue.name, reason=str(error))


def _done() -> Future[None]:
    future: Future[None] = Future()
    future.set_result(None)
    return future

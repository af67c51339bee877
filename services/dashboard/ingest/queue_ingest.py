"""Ingest a queue: apply its messages to the projection, store them in the archive, then acknowledge them.

Messages are applied to the projection at once, so that pages are live, and acknowledged when they are in the archive.
While object storage is unavailable, messages are applied until the prefetch is reached; the others wait at the
broker. Messages that were not acknowledged before a crash are delivered again, and applying them again changes nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from services.dashboard.ingest.archive import Archive
from services.dashboard.ingest.projector import NOT_ARCHIVED, Projector, UnsupportedMessage
from services.dashboard.store.errors import REDIS_UNAVAILABLE
from shared.health import Health
from shared.messages import REASON_LENGTH
from shared.messaging import traces
from shared.messaging.loop import Loop, Outcome, Received, RetryLater
from shared.messaging.port import Broker, Subscription
from shared.topology import Queue

BATCH: Final = 500
WAIT_SECONDS: Final = 0.1

_log = structlog.stdlib.get_logger("ingest")


class QueueIngest:
    """Ingests one queue in a thread."""

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
        self.health = Health(name=f"the ingest of {queue.name}")
        self.failure: BaseException | None = None
        """The error that ended the thread."""
        self._queue = queue
        self._subscription: Subscription = broker.subscribe(queue, prefetch)
        self._projector = projector
        self._archive = archive
        self._stop = stop
        self._thread = threading.Thread(target=self._run, name=f"ingest {queue.name}", daemon=True)

    def start(self, failed: Callable[[], None]) -> None:
        """Start the thread; ``failed`` is called when an unexpected error ends it."""
        self._failed = failed
        self._thread.start()

    def join(self, timeout: float | None = None) -> None:
        """Wait until the messages that were received are acknowledged, or returned to the broker."""
        if self._thread.ident is None:
            self._subscription.close()  # the thread was never started
        else:
            self._thread.join(timeout)

    def _run(self) -> None:
        loop = Loop(self._subscription, None, self._ingest, self._stop, self.health, flush=self._archive.flush)
        try:
            loop.run(BATCH, WAIT_SECONDS)
        except Exception as error:  # noqa: BLE001  the process ends, and logs the error
            _log.exception("ingest ended", queue=self._queue.name)
            self.failure = error
            self._failed()
        finally:
            self._subscription.close()

    def _ingest(self, batch: Sequence[Received]) -> Outcome:
        """Apply a batch to the projection and give it to the archive.

        Raises:
            RetryLater: Redis is unavailable.
        """
        rejected: dict[int, str] = {}
        for place, received in enumerate(batch):
            try:
                self._projector.check_type(received.message)
            except UnsupportedMessage as error:
                rejected[place] = str(error)
        accepted = [place for place in range(len(batch)) if place not in rejected]
        messages = [batch[place].message for place in accepted]
        inapplicable: dict[int, Exception] = {}

        def apply() -> None:
            inapplicable.clear()
            with traces.current().step("count"):
                inapplicable.update(self._projector.apply_valid(messages).rejected)

        try:
            if all(type(message) in NOT_ARCHIVED for message in messages):
                apply()
                name = ""  # nothing of the batch is archived, so it needs no mark in Redis
            else:
                name = self._projector.watermark.apply(apply)
        except REDIS_UNAVAILABLE as error:
            raise RetryLater(str(error)) from error
        for place, cause in inapplicable.items():
            reason = f"it can't be applied: {type(cause).__name__}: {cause}"
            rejected[accepted[place]] = reason[:REASON_LENGTH]
        archived = [
            received
            for place, received in enumerate(batch)
            if place not in rejected and type(received.message) not in NOT_ARCHIVED
        ]
        stored = None
        if archived:
            senders = [received.delivery.sender for received in archived]
            stored = self._archive.add([received.message for received in archived], name, senders)
        if any(received.delivery.is_suspect for received in batch):
            self._archive.flush()  # the broker delivers the next suspect when this one is acknowledged
        return Outcome(stored=stored, rejected=rejected)

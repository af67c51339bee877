"""The embedded broker: one SQLite file in a folder, shared by the processes of one machine, without a server."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from shared import topology
from shared.messaging.port import Depth, ParkedAction, ParkedMessage
from shared.messaging.sqlite.consumer import SqliteSubscription
from shared.messaging.sqlite.publisher import SqlitePublisher
from shared.messaging.sqlite.readers import remove_dead_readers
from shared.messaging.sqlite.schema import connect, create, translated_errors, writing
from shared.topology import Broadcast, Queue

__all__ = ["SqliteBroker"]

FILE: Final = "messages.sqlite"

PARKED: Final = """
SELECT message.id, content, reason, aside_at, sender FROM message JOIN body ON body.message = message.id
WHERE queue = ? ORDER BY message.id LIMIT ?
"""
PARKED_ACTIONS: Final = {
    ParkedAction.REPLAY: "UPDATE message SET queue = :queue, reason = NULL, aside_at = NULL WHERE id = :message",
    ParkedAction.DISCARD: "DELETE FROM message WHERE id = :message",
}


class SqliteBroker:
    """See `shared.messaging.port.Broker`. The folder must be on a local disk, not on a network share."""

    def __init__(self, folder: Path, queues: Sequence[Queue] = topology.QUEUES, *, service: str = "") -> None:
        self._path = folder / FILE
        self._service = service
        create(self._path, queues)
        self._connection = connect(self._path, durable=False)
        self._lock = threading.Lock()
        self._open: list[SqlitePublisher | SqliteSubscription] = []

    def publisher(self) -> SqlitePublisher:
        """See the port."""
        publisher = SqlitePublisher(self._path, self._service)
        self._open.append(publisher)
        return publisher

    def subscribe(self, source: Queue | Broadcast, prefetch: int) -> SqliteSubscription:
        """See the port."""
        subscription = SqliteSubscription(self._path, source, prefetch)
        self._open.append(subscription)
        return subscription

    def depth(self, queue: str) -> Depth:
        """See the port."""
        with self._lock, translated_errors(self._path):
            remove_dead_readers(self._path.parent, self._connection)
            found = self._connection.execute("SELECT ready, held FROM queue WHERE name = ?", (queue,)).fetchone()
        if found is None:
            raise KeyError(queue)
        return Depth(ready=found[0], unacknowledged=found[1])

    def review(self, queue: Queue, decide: Callable[[ParkedMessage], ParkedAction], most: int = 1000) -> None:
        """See the port. A replay ignores the limit of the queue."""
        with self._lock, translated_errors(self._path), writing(self._connection):
            rows = self._connection.execute(PARKED, (queue.parked, most)).fetchall()
            for message, body, reason, at, sender in rows:
                action = decide(ParkedMessage(queue.name, body, reason, datetime.fromtimestamp(at, UTC), sender))
                if action is not ParkedAction.KEEP:
                    self._connection.execute(PARKED_ACTIONS[action], {"message": message, "queue": queue.name})

    def troubles(self, silence_seconds: float) -> Sequence[str]:
        """See the port. Only publishers have a thread that may stall."""
        publishers = [part for part in self._open if isinstance(part, SqlitePublisher)]
        return [trouble for publisher in publishers if (trouble := publisher.trouble(silence_seconds))]

    def close(self) -> None:
        """See the port."""
        for part in reversed(self._open):
            part.close()
        self._open.clear()
        with self._lock:
            self._connection.close()

"""Receive messages from the embedded broker."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ulid import ULID

from shared.messaging.port import BrokerUnavailable, Delivery
from shared.messaging.sqlite.readers import Reader, remove_dead_readers
from shared.messaging.sqlite.schema import DECLARE, connect, now, translated_errors, writing
from shared.topology import BROADCAST_LIMIT, Broadcast, Queue

SHORTEST_PAUSE: Final = 0.001
LONGEST_PAUSE: Final = 0.02
"""Seconds between two reads of the version of the file, which take a few microseconds and no lock."""
DEAD_READERS_SECONDS: Final = 1.0
"""Seconds between two checks for dead readers."""

CLAIM: Final = """
SELECT message.id, failures, routing_key, sender, headers, content FROM message JOIN body ON body.message = message.id
WHERE queue = ? AND reader IS NULL ORDER BY message.id LIMIT ?
"""


class SqliteSubscription:
    """See `shared.messaging.port.Subscription`."""

    def __init__(self, path: Path, source: Queue | Broadcast, prefetch: int) -> None:
        self._path = path
        self._prefetch = prefetch
        self._closed = threading.Event()
        self._lock = threading.RLock()
        self._held: dict[int, str] = {}
        self._done: set[int] = set()
        self._suspect_was_last = False
        self._next_check = 0.0
        with translated_errors(path):
            self._connection = connect(path, durable=False)
            self._queue = source.name if isinstance(source, Queue) else f"{source.name}.{ULID()}"
            self._suspects = source.suspects if isinstance(source, Queue) else None
            self._parked = source.parked if isinstance(source, Queue) else None
            self._one_reader = isinstance(source, Queue) and source.one_reader
            self._reader = Reader(path.parent, self._connection, self._queue)
            if isinstance(source, Broadcast):
                row = {
                    "name": self._queue,
                    "exchange": source.exchange,
                    "binding": source.binding,
                    "most": BROADCAST_LIMIT,
                    "most_bytes": None,
                    "sheds": True,
                    "one_reader": False,
                    "redeliveries": 0,
                    "next": None,
                    "owner": self._reader.id,
                }
                with writing(self._connection):
                    self._connection.execute(DECLARE, row)

    def receive(self, most: int, wait_seconds: float) -> Sequence[Delivery]:
        """See the port."""
        deadline = time.monotonic() + wait_seconds
        while True:
            with self._lock, translated_errors(self._path):
                if self._closed.is_set():
                    return []
                seen = self._version()
                self._settle()
                if time.monotonic() >= self._next_check:
                    self._next_check = time.monotonic() + DEAD_READERS_SECONDS
                    remove_dead_readers(self._path.parent, self._connection)
                deliveries = self._claim(most)
            if deliveries or time.monotonic() >= deadline:
                return deliveries
            self._wait_for_change(seen, deadline)

    def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """See the port."""
        with self._lock:
            if self._closed.is_set():
                return
            self._done |= {delivery.tag for delivery in deliveries if isinstance(delivery.tag, int)} & set(self._held)
            try:
                with translated_errors(self._path):
                    self._settle()
            except BrokerUnavailable:
                return  # repeated by the next `receive`

    def park(self, delivery: Delivery, reason: str) -> None:
        """See the port."""
        if self._parked is None:  # a broadcast has no parked queue
            self.acknowledge([delivery])
            return
        with self._lock, translated_errors(self._path), writing(self._connection):
            self._connection.execute(
                "UPDATE message SET queue = ?, reader = NULL, failures = 0, reason = ?, aside_at = ? "
                "WHERE id = ? AND reader = ?",
                (self._parked, reason, now(), delivery.tag, self._reader.id),
            )
            self._held.pop(int(str(delivery.tag)), None)

    def close(self) -> None:
        """See the port."""
        if self._closed.is_set():
            return
        self._closed.set()
        with self._lock, translated_errors(self._path):
            self._settle()
            self._reader.leave()
            self._connection.close()

    def _version(self) -> int:
        """Return a number that changes with every commit of another connection."""
        version: int = self._connection.execute("PRAGMA data_version").fetchone()[0]
        return version

    def _wait_for_change(self, seen: int, deadline: float) -> None:
        pause = SHORTEST_PAUSE
        while not self._closed.is_set() and time.monotonic() < min(deadline, self._next_check):
            self._closed.wait(min(pause, max(0.0, deadline - time.monotonic())))
            pause = min(pause * 2, LONGEST_PAUSE)
            with self._lock:
                if self._closed.is_set() or self._version() != seen:
                    return

    def _settle(self) -> None:
        if self._done:
            with writing(self._connection):
                self._connection.executemany(
                    "DELETE FROM message WHERE id = ? AND reader = ?",
                    [(message, self._reader.id) for message in self._done],
                )
            for message in self._done:
                self._held.pop(message, None)
            self._done.clear()

    def _claim(self, most: int) -> list[Delivery]:
        """Return the next messages: a suspect alone, in turn with a batch of other messages."""
        if self._one_reader:
            first = self._connection.execute(
                "SELECT id FROM reader WHERE queue = ? ORDER BY number LIMIT 1", (self._queue,)
            ).fetchone()
            if first is None or first[0] != self._reader.id:
                return []
        queues = [self._queue]
        if self._suspects is not None and self._suspects not in self._held.values():
            queues.insert(1 if self._suspect_was_last else 0, self._suspects)
        for queue in queues:
            room = min(most, self._prefetch - len(self._held)) if queue == self._queue else 1
            deliveries = self._take(queue, room) if room > 0 else []
            if deliveries:
                self._suspect_was_last = queue == self._suspects
                return deliveries
        return []

    def _take(self, queue: str, most: int) -> list[Delivery]:
        ready = self._connection.execute("SELECT ready FROM queue WHERE name = ?", (queue,)).fetchone()
        if not ready or not ready[0]:
            return []
        with writing(self._connection):
            rows = self._connection.execute(CLAIM, (queue, most)).fetchall()
            self._connection.executemany(
                "UPDATE message SET reader = ? WHERE id = ?", [(self._reader.id, message) for message, *_ in rows]
            )
        self._held.update((message, queue) for message, *_ in rows)
        again = queue == self._suspects
        return [
            Delivery(
                body, message, again or failures > 0, queue, routing_key, sender, json.loads(headers) if headers else {}
            )
            for message, failures, routing_key, sender, headers, body in rows
        ]

"""Detect dead readers: each reader holds a lock on its own file until its process ends.

The operating system releases the lock whenever the process ends, so no heartbeat is needed, and a reader that computes
for an hour does not count as dead.
"""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout
from ulid import ULID

from shared import topology
from shared.messaging.sqlite.schema import Connection, now, writing


class Reader:
    """A reader of a queue, until `leave` or the end of the process."""

    def __init__(self, folder: Path, connection: Connection, queue: str) -> None:
        self.id = str(ULID())
        self._connection = connection
        self._lock = _lock_of(folder, self.id)
        self._lock.acquire(timeout=0)
        with writing(connection):
            connection.execute("INSERT INTO reader (id, queue) VALUES (?, ?)", (self.id, queue))

    def leave(self) -> None:
        """Return the held messages to the queue without counting a redelivery, and remove the reader."""
        try:
            with writing(self._connection):
                self._connection.execute("UPDATE message SET reader = NULL WHERE reader = ?", (self.id,))
                _forget(self._connection, self.id)
        finally:
            _release(self._lock)


def remove_dead_readers(folder: Path, connection: Connection) -> None:
    """Return the messages of dead readers to their queue, or move them to the suspects or parked queue."""
    for (reader,) in connection.execute("SELECT id FROM reader").fetchall():
        lock = _lock_of(folder, reader)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            continue
        try:
            with writing(connection):
                _give_back(connection, reader)
                _forget(connection, reader)
        finally:
            _release(lock)


def _lock_of(folder: Path, reader: str) -> BaseFileLock:
    return FileLock(folder / f"reader-{reader}.lock", thread_local=False)


def _release(lock: BaseFileLock) -> None:
    """Release the lock of a reader that has ended, and delete its file; its name is never used again."""
    lock.release()
    with suppress(OSError):
        Path(lock.lock_file).unlink()


def _give_back(connection: sqlite3.Connection, reader: str) -> None:
    held = connection.execute(
        "SELECT message.id, failures + 1, redeliveries, next FROM message JOIN queue ON queue.name = message.queue "
        "WHERE reader = ?",
        (reader,),
    ).fetchall()
    for message, failures, redeliveries, next_queue in held:
        if failures > redeliveries and next_queue:
            connection.execute(
                "UPDATE message SET reader = NULL, failures = 0, queue = ?, reason = ?, aside_at = ? WHERE id = ?",
                (next_queue, topology.DIED, now(), message),
            )
        else:
            connection.execute("UPDATE message SET reader = NULL, failures = ? WHERE id = ?", (failures, message))


def _forget(connection: sqlite3.Connection, reader: str) -> None:
    connection.execute("DELETE FROM reader WHERE id = ?", (reader,))
    connection.execute("DELETE FROM message WHERE queue IN (SELECT name FROM queue WHERE owner = ?)", (reader,))
    connection.execute("DELETE FROM queue WHERE owner = ?", (reader,))

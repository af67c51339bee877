"""The tables of the embedded broker: queues with their limits and counts, messages, and readers.

Triggers update the counts, so that every statement is counted. The body of a message is in its own table, because
SQLite rewrites whole rows: delivering or moving a message must not write its image again.
"""

from __future__ import annotations

import fcntl
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Final

from filelock import FileLock

from shared import topology
from shared.messaging.port import BrokerUnavailable, MessagingError
from shared.sqlite import Reserve, free_bytes, transaction
from shared.topology import Queue, WhenFull

LAYOUT: Final = 3
"""Version of the tables; a file with another version is refused."""

BUSY_SECONDS: Final = 30.0
"""Seconds that a statement waits while other processes write."""

PASSING: Final = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}
"""Primary result codes of errors that may pass: other writers, a full disk, a failure of the disk."""

OUT_OF_ROOM: Final = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN}
"""Result codes of a full disk, depending on the file that has to grow."""

SMALL: Final = 16 * 1024
"""Bytes of a message that may use the reserve: a verdict, after which the frame is deleted."""

TABLES: Final = """
CREATE TABLE IF NOT EXISTS queue (
    name TEXT PRIMARY KEY,
    exchange TEXT NOT NULL,        -- '' where nothing is routed to: suspects, parked
    binding TEXT NOT NULL,
    most INTEGER,                  -- messages ready; NULL is no limit
    most_bytes INTEGER,
    sheds INTEGER NOT NULL,        -- at a limit: 1 drops the oldest, 0 refuses the newest
    one_reader INTEGER NOT NULL,
    redeliveries INTEGER NOT NULL, -- how often a message may come back from a reader that died
    next TEXT,                     -- where it goes after that; NULL is nowhere: it stays
    owner TEXT,                    -- the reader that a broadcast's queue ends with
    ready INTEGER NOT NULL DEFAULT 0,
    ready_bytes INTEGER NOT NULL DEFAULT 0,
    held INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS reader (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    queue TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS message (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    queue TEXT NOT NULL,
    size INTEGER NOT NULL,
    routing_key TEXT NOT NULL,
    sender TEXT NOT NULL,
    headers TEXT NOT NULL,         -- as JSON; '' is none
    reader TEXT,                   -- who holds it; NULL is ready
    failures INTEGER NOT NULL DEFAULT 0,
    reason TEXT,
    aside_at REAL                  -- seconds since 1970, of what went to suspects or parked
);
CREATE INDEX IF NOT EXISTS message_in_turn ON message (queue, reader, id);
CREATE INDEX IF NOT EXISTS message_held ON message (reader) WHERE reader IS NOT NULL;
CREATE TABLE IF NOT EXISTS body (message INTEGER PRIMARY KEY, content BLOB NOT NULL);

CREATE TRIGGER IF NOT EXISTS message_arrives AFTER INSERT ON message BEGIN
    UPDATE queue SET ready = ready + 1, ready_bytes = ready_bytes + NEW.size WHERE name = NEW.queue;
END;
CREATE TRIGGER IF NOT EXISTS message_leaves AFTER DELETE ON message BEGIN
    UPDATE queue SET ready = ready - (OLD.reader IS NULL), held = held - (OLD.reader IS NOT NULL),
        ready_bytes = ready_bytes - iif(OLD.reader IS NULL, OLD.size, 0) WHERE name = OLD.queue;
    DELETE FROM body WHERE message = OLD.id;
END;
CREATE TRIGGER IF NOT EXISTS message_moves AFTER UPDATE OF queue, reader ON message BEGIN
    UPDATE queue SET ready = ready - (OLD.reader IS NULL), held = held - (OLD.reader IS NOT NULL),
        ready_bytes = ready_bytes - iif(OLD.reader IS NULL, OLD.size, 0) WHERE name = OLD.queue;
    UPDATE queue SET ready = ready + (NEW.reader IS NULL), held = held + (NEW.reader IS NOT NULL),
        ready_bytes = ready_bytes + iif(NEW.reader IS NULL, NEW.size, 0) WHERE name = NEW.queue;
END;
"""

DECLARE: Final = """
INSERT INTO queue (name, exchange, binding, most, most_bytes, sheds, one_reader, redeliveries, next, owner)
VALUES (:name, :exchange, :binding, :most, :most_bytes, :sheds, :one_reader, :redeliveries, :next, :owner)
ON CONFLICT (name) DO UPDATE SET exchange = excluded.exchange, binding = excluded.binding, most = excluded.most,
    most_bytes = excluded.most_bytes, sheds = excluded.sheds, one_reader = excluded.one_reader,
    redeliveries = excluded.redeliveries, next = excluded.next
"""


@contextmanager
def translated_errors(path: Path, *, takes_room: bool = False) -> Iterator[None]:
    """Translate errors of SQLite into those of `shared.messaging.port`, with what to do, while the block runs.

    On a full disk the reserve is released, so that a deletion succeeds when it is tried again.

    Args:
        path: the path of the database.
        takes_room: the block makes the database larger, so that it must not use the reserve.
    """
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in OUT_OF_ROOM and not takes_room:
            reserve_of(path).release()
        if code in PASSING:
            raise BrokerUnavailable(f"{path}: {error}") from error
        if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
            raise MessagingError(f"{path} is damaged ({error}): move it away to start with empty queues") from error
        raise MessagingError(f"{path}: {error}: can this user write the file and its folder?") from error


def reserve_of(path: Path) -> Reserve:
    """Return the disk space that is reserved for deletions."""
    return Reserve(path.with_suffix(".reserve"))


def check_room(path: Path, connection: sqlite3.Connection, largest: int) -> None:
    """Refuse a message that would use the reserve.

    Raises:
        BrokerUnavailable: the disk is full.
    """
    if largest <= SMALL or reserve_of(path).hold():
        return
    if free_bytes(connection) < 2 * largest:
        raise BrokerUnavailable(f"{path}: the disk is full: free some space on it")


def now() -> float:
    """Return the seconds since 1970."""
    return datetime.now(UTC).timestamp()


class Connection(sqlite3.Connection):
    """A connection to the file of the broker, whose transactions wait for their turn."""

    turns: BinaryIO
    """The file whose lock the connection that writes holds."""

    def close(self) -> None:
        """Close the connection."""
        self.turns.close()
        super().close()


def connect(path: Path, *, durable: bool) -> Connection:
    """Open a connection without automatic transactions.

    With ``durable``, a commit is on the disk when it returns. Without, the last commits before a power failure may be
    lost, which is enough for readers: their messages are delivered again.
    """
    turns = path.with_suffix(".turns").open("ab")
    connection = sqlite3.connect(
        path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False, factory=Connection
    )
    connection.turns = turns
    connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
    return connection


@contextmanager
def writing(connection: Connection) -> Iterator[None]:
    """Run a block as one write transaction, as soon as no other connection writes.

    A writer that SQLite itself makes wait sleeps for up to 100 ms between two tries, and may miss its turn each time.
    The operating system wakes the next writer at the end of a transaction, also when a process was killed in it.
    """
    fcntl.flock(connection.turns, fcntl.LOCK_EX)
    try:
        with transaction(connection):
            yield
    finally:
        fcntl.flock(connection.turns, fcntl.LOCK_UN)


def create(path: Path, queues: Sequence[Queue]) -> None:
    """Create the file, the tables and the queues if they do not exist, and set the limits of the queues.

    Raises:
        MessagingError: the folder can't be written, or the file is not a database, or has another layout.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # SQLite does not wait when two processes switch a new file to WAL at once
        with FileLock(path.with_suffix(".lock"), timeout=BUSY_SECONDS):
            with translated_errors(path), closing(connect(path, durable=True)) as connection:
                layout = connection.execute("PRAGMA user_version").fetchone()[0]
                if layout not in (0, LAYOUT):
                    raise MessagingError(
                        f"{path} was made by another version of Seamline (layout {layout}, this one has {LAYOUT}): "
                        "let that version finish its queues, or move the file away"
                    )
                connection.execute("PRAGMA journal_mode = WAL")
                connection.executescript(TABLES)
                with writing(connection):
                    connection.execute(f"PRAGMA user_version = {LAYOUT}")
                    for queue in queues:
                        connection.executemany(DECLARE, rows_of(queue))
            reserve_of(path).hold()
    except OSError as error:
        reason = error.strerror or error
        raise MessagingError(f"the broker's folder {path.parent} can't be used: {reason}") from error


def rows_of(queue: Queue) -> list[dict[str, object]]:
    """Return the rows of a queue, its suspects queue and its parked queue."""
    row: dict[str, object] = {
        "name": queue.name,
        "exchange": queue.exchange,
        "binding": queue.binding,
        "most": queue.limit,
        "most_bytes": queue.limit_bytes,
        "sheds": queue.when_full is WhenFull.SHED,
        "one_reader": queue.one_reader,
        "redeliveries": topology.DELIVERY_LIMIT,
        "next": queue.suspects,
        "owner": None,
    }
    aside = {**row, "exchange": "", "binding": "", "most": None, "most_bytes": None, "sheds": False}
    suspects = {"name": queue.suspects, "redeliveries": topology.SUSPECT_DELIVERY_LIMIT, "next": queue.parked}
    parked = {"name": queue.parked, "one_reader": False, "next": None}
    return [row, {**aside, **suspects}, {**aside, **parked}]

"""Store every frame on disk from its capture until the broker has confirmed it.

See docs/adr/0003-outbox.md for why every frame passes through the outbox.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import structlog
from filelock import FileLock, Timeout

from services.camera.errors import CameraError
from services.camera.settings import CameraSettings
from shared.messages import FrameCaptured
from shared.messaging.port import EncodedMessage
from shared.sqlite import Reserve, free_bytes, transaction

FORMAT: Final = 5
SCHEMA: Final = f"""
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS frames (
    position INTEGER PRIMARY KEY AUTOINCREMENT, session TEXT NOT NULL, exchange TEXT NOT NULL,
    routing_key TEXT NOT NULL, checksum INTEGER NOT NULL, headers TEXT NOT NULL, body BLOB NOT NULL,
    broken TEXT);
CREATE TABLE IF NOT EXISTS sessions (
    session TEXT PRIMARY KEY, captured INTEGER NOT NULL DEFAULT 0, dropped INTEGER NOT NULL DEFAULT 0,
    unreadable INTEGER NOT NULL DEFAULT 0, triggers INTEGER NOT NULL DEFAULT 0,
    missed_triggers INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
PRAGMA user_version = {FORMAT};
COMMIT;
"""

OF_CHECKS: Final = "check"
"""Stands for the session of the frames of checks, which no count has."""
INSERT: Final = """
INSERT INTO frames (session, exchange, routing_key, checksum, headers, body) VALUES (?, ?, ?, ?, ?, ?)
"""
COUNT: Final = """
INSERT INTO sessions (session, captured, dropped, unreadable, triggers, missed_triggers) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (session) DO UPDATE SET
    captured = excluded.captured, dropped = excluded.dropped, unreadable = excluded.unreadable,
    triggers = excluded.triggers, missed_triggers = excluded.missed_triggers
"""
NO_HEADERS: Final[Mapping[str, str]] = {}
SHRINK_BYTES: Final = 64 * 1024**2
"""Bytes from which on the file of an empty outbox is shrunk."""
SLACK: Final = 64 * 1024
"""Bytes that the database needs for a frame in addition to its message."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, eq=False)
class OutboxFrame:
    """A frame in the outbox: an encoded `FrameCaptured`, which contains its image, also if the image is large."""

    position: int
    session: str
    message: EncodedMessage
    checksum: int

    @property
    def is_intact(self) -> bool:
        """Whether the message that was read has the checksum of the message that was written."""
        return zlib.crc32(self.message.body) == self.checksum


@dataclass(frozen=True)
class SessionCounts:
    """The frames of a session: captured = confirmed + waiting + dropped. Unreadable images become no frames.

    If the camera is triggered: triggers = captured + missed triggers.
    """

    captured: int
    dropped: int
    waiting: int
    unreadable: int = 0
    triggers: int = 0
    missed_triggers: int = 0


class Outbox:
    """Stores frames in the order of their capture, and the counts of each session. Thread-safe."""

    def __init__(
        self, path: Path, session: str, *, frames_limit: int, bytes_limit: int, is_triggered: bool = False
    ) -> None:
        """Open the outbox. If ``is_triggered``, each captured frame also counts as a trigger."""
        self._path = path
        self._session = session
        self._frames_limit = frames_limit
        self._bytes_limit = bytes_limit
        self._changed = threading.Condition()
        self._confirmed: set[int] = set()
        """Positions of frames that the broker has confirmed and that could not be deleted yet."""
        self._damaged: set[int] = set()
        """Positions of frames that `set_aside` has marked as damaged."""
        self._out_of_room = False
        """Whether the disk was full for the last frame."""
        self._drop_reason = ""
        self._captured = 0
        self._dropped = 0
        self._unreadable = 0
        self._is_triggered = is_triggered
        self._missed_triggers = 0
        self._lock = _lock(path)
        self._reserve = Reserve(path.with_suffix(".reserve"))
        with _clear_errors(path):
            self._database = _open_with(self._reserve, path)
            self._reserve.hold()
            self._write_if_possible(COUNT, [self._count_row(0)])
            held = self._database.execute("SELECT session, length(body) FROM frames WHERE broken IS NULL").fetchall()
        self._waiting = Counter(session for session, _ in held)
        self._bytes = sum(size for _, size in held)

    @classmethod
    def of(cls, settings: CameraSettings, session: str) -> Self:
        """Open the outbox of the camera and line in the settings."""
        path = settings.outbox_folder / f"{settings.line}.{settings.name}.sqlite"
        return cls(
            path,
            session,
            frames_limit=settings.outbox_frames,
            bytes_limit=settings.outbox_bytes,
            is_triggered=settings.is_triggered,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._changed:
            self._database.close()
            self._lock.release()

    # ── for the capture loop ──────────────────────────────────────────────────────────────────────────────────────────

    def add(self, frame: FrameCaptured, headers: Mapping[str, str] = NO_HEADERS) -> bool:
        """Write a frame with the headers of its message to the disk, and return whether it is stored.

        If the outbox has reached its limits, or the disk does not take the frame, the frame is dropped and counted. No
        count has a frame of a check: the captured frames are those that have a number in the session.
        """
        message = EncodedMessage.of(frame)
        size = len(message.body)
        session = OF_CHECKS if frame.of_check else self._session
        captured = self._captured + (not frame.of_check)
        with self._changed:
            reason = self._full(size)
            if not reason:
                row = (
                    session,
                    message.exchange,
                    message.routing_key,
                    zlib.crc32(message.body),
                    json.dumps(dict(headers)) if headers else "",
                    message.body,
                )
                try:
                    with transaction(self._database):
                        self._database.execute(INSERT, row)
                        self._database.execute(COUNT, self._count_row(captured))
                except sqlite3.OperationalError as error:
                    reason = f"the disk of the outbox fails: {error}"
                    self._out_of_room = True
            self._captured = captured
            if reason and frame.of_check:
                log.error("dropping a frame of a check", reason=reason)
                return False
            if reason:
                self._count_dropped(reason)
                return False
            self._out_of_room = False
            if self._drop_reason:
                log.info("storing frames again", dropped=self._dropped)
                self._drop_reason = ""
            self._waiting[session] += 1
            self._bytes += size
            self._changed.notify_all()
            return True

    def drop(self, reason: str) -> None:
        """Count a frame that was captured and can't be stored."""
        with self._changed:
            self._captured += 1
            self._count_dropped(reason)

    def count_unreadable(self) -> None:
        """Count an image of the source that became no frame."""
        with self._changed:
            self._unreadable += 1
            self._write_counts()

    def count_missed_trigger(self) -> None:
        """Count a trigger that got no image."""
        with self._changed:
            self._missed_triggers += 1
            self._write_counts()

    def wait_for_room(self, frames: int, seconds: float) -> bool:
        """Wait, ``seconds`` at most, until the outbox has fewer than ``frames`` and free bytes; return whether it has.

        If the disk was full, wait until the outbox is empty.
        """

        def has_room() -> bool:
            most = 1 if self._out_of_room else frames
            return self._waiting.total() < most and self._bytes < self._bytes_limit

        with self._changed:
            return self._changed.wait_for(has_room, seconds)

    # ── for the sender ───────────────────────────────────────────────────────────────────────────────────────────────

    def after(self, position: int) -> OutboxFrame | None:
        """Return the oldest frame with a position above ``position``; None if there is none."""
        with self._changed:
            row = self._database.execute(
                "SELECT position, session, checksum, headers, exchange, routing_key, body "
                "FROM frames WHERE position = ?",
                (self._following(position),),
            ).fetchone()
        if row is None:
            return None
        position, session, checksum, headers, exchange, routing_key, body = row
        encoded = EncodedMessage(exchange, routing_key, body, json.loads(headers) if headers else {})
        return OutboxFrame(position, session, encoded, checksum)

    def wait_for_frames(self, position: int, seconds: float) -> bool:
        """Wait for a frame with a position above ``position``; return whether there is one within ``seconds``."""
        with self._changed:
            return self._changed.wait_for(lambda: self._following(position) is not None, seconds)

    def confirm(self, frames: Sequence[OutboxFrame]) -> None:
        """Delete frames that the broker has confirmed.

        On a full disk even deleting may fail. The frames are then deleted with the next ones, or sent again after a
        restart.
        """
        with self._changed:
            self._confirmed |= {frame.position for frame in frames}
            self._release(frames)
            if self._write_if_possible(
                "DELETE FROM frames WHERE position = ?", [(position,) for position in self._confirmed]
            ):
                self._confirmed.clear()
                self._shrink()

    def set_aside(self, frame: OutboxFrame, reason: str) -> None:
        """Mark a frame as damaged: it stays on the disk, is not sent, and counts as dropped."""
        log.error("a frame of the outbox is damaged; it stays there", position=frame.position, reason=reason)
        with self._changed:
            self._damaged.add(frame.position)
            self._write_if_possible("UPDATE frames SET broken = ? WHERE position = ?", [(reason, frame.position)])
            self._write_if_possible("UPDATE sessions SET dropped = dropped + 1 WHERE session = ?", [(frame.session,)])
            self._dropped += frame.session == self._session
            self._release([frame])

    # ── for the reporter ─────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def waiting(self) -> int:
        """The number of frames of all sessions that the broker has not confirmed yet."""
        with self._changed:
            return self._waiting.total()

    @property
    def fullness(self) -> float:
        """The used share of the limit of frames or of the limit of bytes, whichever is larger: 0 to 1."""
        with self._changed:
            return float(max(self._waiting.total() / self._frames_limit, self._bytes / self._bytes_limit))

    def counts(self) -> SessionCounts:
        """Return the counts of this session so far."""
        with self._changed:
            _, captured, dropped, *others = self._count_row(self._captured)
            return SessionCounts(captured, dropped, self._waiting[self._session], *others)

    def ended_sessions(self) -> dict[str, SessionCounts]:
        """Return the counts of earlier sessions whose frames have all been sent, and whose end is not reported yet."""
        with self._changed:
            rows = self._database.execute(
                "SELECT session, captured, dropped, unreadable, triggers, missed_triggers FROM sessions "
                "ORDER BY session"
            )
            return {
                session: SessionCounts(captured, dropped, 0, *others)
                for session, captured, dropped, *others in rows
                if session != self._session and not self._waiting[session]
            }

    def forget(self, session: str) -> None:
        """Delete the counts of a session whose end was reported; if that fails, the end is reported again later."""
        with self._changed:
            self._write_if_possible("DELETE FROM sessions WHERE session = ?", [(session,)])

    # ── with the lock held ───────────────────────────────────────────────────────────────────────────────────────────

    def _full(self, size: int) -> str:
        if self._waiting.total() >= self._frames_limit:
            return f"the outbox is full: {self._frames_limit} frames wait (CAMERA_OUTBOX_FRAMES)"
        if self._bytes + size > self._bytes_limit:
            return f"the outbox is full: {self._bytes} bytes wait (CAMERA_OUTBOX_BYTES)"
        if not self._reserve.hold() and free_bytes(self._database) < size + SLACK:
            self._out_of_room = True
            return f"the disk of the outbox is full: free some space on it ({self._path.parent})"
        return ""

    def _count_dropped(self, reason: str) -> None:
        self._dropped += 1
        if reason != self._drop_reason:
            log.error("dropping frames", reason=reason, dropped=self._dropped)
            self._drop_reason = reason
        self._write_counts()

    def _write_counts(self) -> None:
        with suppress(sqlite3.OperationalError):  # the next successful write includes these totals
            self._write(COUNT, [self._count_row(self._captured)])

    def _count_row(self, captured: int) -> tuple[str, int, int, int, int, int]:
        triggers = captured + self._missed_triggers if self._is_triggered else 0
        return self._session, captured, self._dropped, self._unreadable, triggers, self._missed_triggers

    def _following(self, position: int) -> int | None:
        """Return the lowest position above ``position`` of an unconfirmed, undamaged frame; None if there is none."""
        rows = self._database.execute(
            "SELECT position FROM frames WHERE position > ? AND broken IS NULL ORDER BY position", (position,)
        )
        return next((later for (later,) in rows if later not in self._confirmed and later not in self._damaged), None)

    def _release(self, frames: Sequence[OutboxFrame]) -> None:
        for frame in frames:
            self._waiting[frame.session] -= 1
            self._bytes -= len(frame.message.body)
        self._changed.notify_all()

    def _write_if_possible(self, statement: str, rows: Sequence[tuple[object, ...]]) -> bool:
        """Write a small change; on a full disk use the reserve. Return whether the change was written."""
        try:
            self._write(statement, rows)
        except sqlite3.OperationalError:
            if self._reserve.release():
                log.warning("the disk of the outbox is full: using the reserved space", path=str(self._path))
            try:
                # SQLite then overwrites its write-ahead log from the beginning instead of extending it
                self._database.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()
                self._write(statement, rows)
            except sqlite3.OperationalError:
                return False
        return True

    def _shrink(self) -> None:
        """Shrink the file of an empty outbox, and allocate the reserve again."""
        if self._waiting.total() or (self._reserve.held and free_bytes(self._database) < SHRINK_BYTES):
            return
        with suppress(sqlite3.OperationalError):  # the disk is still full: try again after one of the next frames
            if free_bytes(self._database):
                self._database.execute("VACUUM")
                self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            if not self._reserve.held and self._reserve.hold():
                log.info("the disk of the outbox has room again", path=str(self._path))

    def _write(self, statement: str, rows: Sequence[tuple[object, ...]]) -> None:
        with transaction(self._database):
            self._database.executemany(statement, rows)


def _lock(path: Path) -> FileLock:
    """Lock the outbox for this process; the system releases the lock when the process ends."""
    with _clear_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(f"{path}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise CameraError(
                f"another camera uses {path}: give each its own CAMERA_LINE or CAMERA_NAME, or stop the other one"
            ) from None
    return lock


def _open_with(reserve: Reserve, path: Path) -> sqlite3.Connection:
    """Open the database. On a full disk release the reserve; if that is not enough, open it for this process alone.

    A database that one process uses alone needs no shared-memory file, whose creation takes space.
    """
    with suppress(sqlite3.OperationalError):
        return _open(path)
    reserve.release()
    with suppress(sqlite3.OperationalError):
        return _open(path)
    return _open(path, "EXCLUSIVE")


def _open(path: Path, locking: str = "NORMAL") -> sqlite3.Connection:
    database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        database.execute(f"PRAGMA locking_mode = {locking}")
        version = database.execute("PRAGMA user_version").fetchone()[0]
        _check_format(path, version)
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.execute("PRAGMA temp_store = MEMORY")
        if version != FORMAT:
            database.executescript(SCHEMA)
    except BaseException:
        database.close()
        raise
    return database


def _check_format(path: Path, version: int) -> None:
    if version not in (0, FORMAT):
        raise CameraError(
            f"{path} was written by another version: use that version of the camera, or move the file away"
        )


@contextmanager
def _clear_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
            raise CameraError(
                f"the outbox {path} is damaged ({error}): move it away to start with an empty one"
            ) from error
        raise CameraError(f"the outbox {path} can't be used: {error}: check CAMERA_OUTBOX_FOLDER") from error

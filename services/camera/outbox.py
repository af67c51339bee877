"""The camera's own memory on disk: every frame is here from the moment it is captured until the broker has it.

See docs/adr/0003-outbox.md for why every frame passes through it.
"""

from __future__ import annotations

import sqlite3
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
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
from shared.sqlite import Reserve

FORMAT: Final = 1
SCHEMA: Final = f"""
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS frames (
    position INTEGER PRIMARY KEY AUTOINCREMENT, session TEXT NOT NULL, body BLOB NOT NULL, broken TEXT);
CREATE TABLE IF NOT EXISTS sessions (
    session TEXT PRIMARY KEY, captured INTEGER NOT NULL DEFAULT 0, refused INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
PRAGMA user_version = {FORMAT};
COMMIT;
"""

COUNT: Final = """
INSERT INTO sessions (session, captured, refused) VALUES (?, ?, ?)
ON CONFLICT (session) DO UPDATE SET captured = excluded.captured, refused = excluded.refused
"""
SHRINK_BYTES: Final = 64 * 1024**2
"""An empty outbox whose file is larger than this gives the space back to its disk."""
SLACK: Final = 64 * 1024
"""Bytes that a frame takes in the database beside its own."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, eq=False)
class Waiting:
    """A frame that waits: the body of a `FrameCaptured` with its image in it, whatever its size."""

    position: int
    session: str
    body: bytes


@dataclass(frozen=True)
class Counts:
    """What became of a session's frames: captured = confirmed + waiting + refused."""

    captured: int
    refused: int
    waiting: int


class Outbox:
    """Frames in the order of their capture, and the counts of each session. Safe to use from several threads."""

    def __init__(self, path: Path, session: str, *, frames_limit: int, bytes_limit: int) -> None:
        self._path = path
        self._session = session
        self._frames_limit = frames_limit
        self._bytes_limit = bytes_limit
        self._changed = threading.Condition()
        self._confirmed: set[int] = set()
        """Positions of frames that the broker has, and that the disk did not let go yet."""
        self._aside: set[int] = set()
        self._out_of_room = False
        """Whether the disk refused a frame, and has not let go of all that wait since."""
        self._refusing = ""
        self._captured = 0
        self._refused = 0
        self._lock = _locked(path)
        self._reserve = Reserve(path.with_suffix(".reserve"))
        with _clear_errors(path):
            self._database = _opened_with(self._reserve, path)
            self._reserve.hold()
            self._write_if_possible(COUNT, [(session, 0, 0)])
            held = self._database.execute("SELECT session, length(body) FROM frames WHERE broken IS NULL").fetchall()
        self._waiting = Counter(session for session, _ in held)
        self._bytes = sum(size for _, size in held)

    @classmethod
    def of(cls, settings: CameraSettings, session: str) -> Self:
        """The outbox that the settings name: one for each camera of each line."""
        path = settings.outbox_folder / f"{settings.line}.{settings.name}.sqlite"
        return cls(path, session, frames_limit=settings.outbox_frames, bytes_limit=settings.outbox_bytes)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._changed:
            self._database.close()
            self._lock.release()

    # ── for the one who captures ─────────────────────────────────────────────────────────────────────────────────────

    def keep(self, frame: FrameCaptured) -> bool:
        """Put a frame on the disk; when this returns True, nothing short of losing the disk loses the frame.

        A frame beyond the limits, or one that the disk does not take, is refused and counted.
        """
        body = frame.encode()
        with self._changed:
            reason = self._full(len(body))
            if not reason:
                try:
                    self._append(body)
                except sqlite3.OperationalError as error:
                    reason = f"the disk of the outbox fails: {error}"
                    self._out_of_room = True
            self._captured += 1
            if reason:
                self._count_refusal(reason)
                return False
            self._out_of_room = False
            self._say_when_it_takes_frames_again()
            self._waiting[self._session] += 1
            self._bytes += len(body)
            self._changed.notify_all()
            return True

    def refuse(self, reason: str) -> None:
        """Count a frame that was captured and can't be kept."""
        with self._changed:
            self._captured += 1
            self._count_refusal(reason)

    def wait_for_room(self, frames: int, seconds: float) -> bool:
        """Wait until fewer than ``frames`` wait and there is room for bytes; whether that came true in time.

        On a full disk there is room when nothing waits any more.
        """

        def has_room() -> bool:
            most = 1 if self._out_of_room else frames
            return self._waiting.total() < most and self._bytes < self._bytes_limit

        with self._changed:
            return self._changed.wait_for(has_room, seconds)

    # ── for the one who sends ────────────────────────────────────────────────────────────────────────────────────────

    def after(self, position: int) -> Waiting | None:
        """The oldest frame behind ``position`` (0: of all), if there is one."""
        with self._changed:
            row = self._database.execute(
                "SELECT position, session, body FROM frames WHERE position = ?", (self._following(position),)
            ).fetchone()
        return Waiting(*row) if row else None

    def wait_for_frames(self, position: int, seconds: float) -> bool:
        """Wait until there is a frame behind ``position``; whether there is."""
        with self._changed:
            return self._changed.wait_for(lambda: self._following(position) is not None, seconds)

    def confirm(self, frames: Sequence[Waiting]) -> None:
        """The broker has these: forget them.

        On a full disk even deleting may fail: then they are deleted with the next ones, or sent twice after a restart.
        """
        with self._changed:
            self._confirmed |= {frame.position for frame in frames}
            self._release(frames)
            if self._write_if_possible(
                "DELETE FROM frames WHERE position = ?", [(position,) for position in self._confirmed]
            ):
                self._confirmed.clear()
                self._give_space_back()

    def set_aside(self, frame: Waiting, reason: str) -> None:
        """Keep a frame that can't be read back, but no longer try to send it; it counts as refused."""
        log.error("a frame of the outbox can't be read; it stays there", position=frame.position, reason=reason)
        with self._changed:
            self._aside.add(frame.position)
            self._write_if_possible("UPDATE frames SET broken = ? WHERE position = ?", [(reason, frame.position)])
            self._write_if_possible("UPDATE sessions SET refused = refused + 1 WHERE session = ?", [(frame.session,)])
            self._refused += frame.session == self._session
            self._release([frame])

    # ── for the one who reports ──────────────────────────────────────────────────────────────────────────────────────

    @property
    def waiting(self) -> int:
        """Frames of all sessions that the broker does not have yet."""
        with self._changed:
            return self._waiting.total()

    def counts(self) -> Counts:
        """What became of this session's frames so far."""
        with self._changed:
            return Counts(self._captured, self._refused, self._waiting[self._session])

    def ended_sessions(self) -> dict[str, Counts]:
        """The earlier sessions whose frames have all been sent since, and whose end nobody was told."""
        with self._changed:
            rows = self._database.execute("SELECT session, captured, refused FROM sessions ORDER BY session")
            return {
                session: Counts(captured, refused, 0)
                for session, captured, refused in rows
                if session != self._session and not self._waiting[session]
            }

    def forget(self, session: str) -> None:
        """Drop the counts of a session whose end has been told; what the disk does not let go is told once more."""
        with self._changed:
            self._write_if_possible("DELETE FROM sessions WHERE session = ?", [(session,)])

    # ── within the lock ──────────────────────────────────────────────────────────────────────────────────────────────

    def _full(self, size: int) -> str:
        if self._waiting.total() >= self._frames_limit:
            return f"the outbox is full: {self._frames_limit} frames wait (CAMERA_OUTBOX_FRAMES)"
        if self._bytes + size > self._bytes_limit:
            return f"the outbox is full: {self._bytes} bytes wait (CAMERA_OUTBOX_BYTES)"
        if not self._reserve.hold() and self._free_bytes() < size + SLACK:
            self._out_of_room = True
            return f"the disk of the outbox is full: free some space on it ({self._path.parent})"
        return ""

    def _append(self, body: bytes) -> None:
        with self._transaction():
            self._database.execute("INSERT INTO frames (session, body) VALUES (?, ?)", (self._session, body))
            self._database.execute(COUNT, (self._session, self._captured + 1, self._refused))

    def _count_refusal(self, reason: str) -> None:
        self._refused += 1
        if reason != self._refusing:
            log.error("refusing frames", reason=reason, refused=self._refused)
            self._refusing = reason
        with suppress(sqlite3.OperationalError):  # the next write that succeeds carries these totals too
            self._write(COUNT, [(self._session, self._captured, self._refused)])

    def _say_when_it_takes_frames_again(self) -> None:
        if self._refusing:
            log.info("taking frames again", refused=self._refused)
            self._refusing = ""

    def _following(self, position: int) -> int | None:
        """The position of the oldest frame behind another that the broker does not have."""
        rows = self._database.execute(
            "SELECT position FROM frames WHERE position > ? AND broken IS NULL ORDER BY position", (position,)
        )
        return next((found for (found,) in rows if found not in self._confirmed and found not in self._aside), None)

    def _release(self, frames: Sequence[Waiting]) -> None:
        for frame in frames:
            self._waiting[frame.session] -= 1
            self._bytes -= len(frame.body)
        self._changed.notify_all()

    def _write_if_possible(self, statement: str, rows: Sequence[tuple[object, ...]]) -> bool:
        """Write what makes room, or what is small; on a full disk, with the space of the reserve. Whether it worked."""
        try:
            self._write(statement, rows)
        except sqlite3.OperationalError:
            return self._write_on_a_full_disk(statement, rows)
        return True

    def _write_on_a_full_disk(self, statement: str, rows: Sequence[tuple[object, ...]]) -> bool:
        if self._reserve.release():
            log.warning("the disk of the outbox is full: using the space that is held for this", path=str(self._path))
        try:
            # so that SQLite overwrites its log from the beginning instead of making it longer
            self._database.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()
            self._write(statement, rows)
        except sqlite3.OperationalError:
            return False
        return True

    def _free_bytes(self) -> int:
        """The bytes within the file that hold nothing."""
        pages, page_size = (
            self._database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("freelist_count", "page_size")
        )
        return int(pages * page_size)

    def _give_space_back(self) -> None:
        """Make the file of an empty outbox small again, and hold the reserve again."""
        if self._waiting.total() or (self._reserve.held and self._free_bytes() < SHRINK_BYTES):
            return
        with suppress(sqlite3.OperationalError):  # on a disk that is still full: after one of the next frames
            if self._free_bytes():
                self._database.execute("VACUUM")
                self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            if not self._reserve.held and self._reserve.hold():
                log.info("the disk of the outbox has room again", path=str(self._path))

    def _write(self, statement: str, rows: Sequence[tuple[object, ...]]) -> None:
        with self._transaction():
            self._database.executemany(statement, rows)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._database.execute("COMMIT")
        except BaseException:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise


def _locked(path: Path) -> FileLock:
    """The outbox for this process alone; the lock ends with the process, however it ends."""
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


def _opened_with(reserve: Reserve, path: Path) -> sqlite3.Connection:
    """The database; on a full disk, opened with the space of the reserve, and else without the file of shared memory.

    That file is for other processes, and a new one takes space.
    """
    with suppress(sqlite3.OperationalError):
        return _opened(path)
    reserve.release()
    with suppress(sqlite3.OperationalError):
        return _opened(path)
    return _opened(path, "EXCLUSIVE")


def _opened(path: Path, locking: str = "NORMAL") -> sqlite3.Connection:
    database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        _prepare(database, path, locking)
    except BaseException:
        database.close()
        raise
    return database


def _prepare(database: sqlite3.Connection, path: Path, locking: str) -> None:
    database.execute(f"PRAGMA locking_mode = {locking}")
    version = database.execute("PRAGMA user_version").fetchone()[0]
    if version not in (0, FORMAT):
        raise CameraError(f"{path} was written by a newer version: upgrade the camera, or move the file away")
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    database.execute("PRAGMA temp_store = MEMORY")
    if version != FORMAT:
        database.executescript(SCHEMA)


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

"""The journal of a gateway: one SQLite file with the state that must survive a crash.

It stores the frames of parts that are not decided, the decisions, and the signals that are not sent. All changes by one
batch of messages are one transaction. The transaction is on disk before the messages are acknowledged and before a
signal is sent, so a part that was decided before a power failure is not decided again after it.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from filelock import FileLock, Timeout

from services.gateway.check_history import CheckHistory
from services.gateway.part_assembly import Changes
from services.gateway.rule import Plan
from shared.errors import CannotStart
from shared.messages import CheckRequested, FrameIdentity, FrameInspected, LineChecked, PartDecided, decode
from shared.recipe import Parts, Recipe, parse_recipe
from shared.sqlite import transaction

FORMAT: Final = 4
SCHEMA: Final = f"""
BEGIN IMMEDIATE;
CREATE TABLE pending (
    key TEXT NOT NULL, frame TEXT NOT NULL, inspected INTEGER NOT NULL, body BLOB NOT NULL,
    parts TEXT NOT NULL, recipe TEXT NOT NULL, version TEXT NOT NULL, PRIMARY KEY (key, frame)) WITHOUT ROWID;
CREATE TABLE decisions (
    number INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, frames TEXT NOT NULL, at REAL NOT NULL,
    body BLOB NOT NULL, published INTEGER NOT NULL DEFAULT 0);
CREATE INDEX unpublished ON decisions (number) WHERE published = 0;
CREATE INDEX decided ON decisions (at);
CREATE TABLE totals (
    line TEXT NOT NULL, verdict TEXT NOT NULL, parts INTEGER NOT NULL, PRIMARY KEY (line, verdict)) WITHOUT ROWID;
CREATE TABLE late (frame TEXT PRIMARY KEY, key TEXT NOT NULL, at REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE sessions (
    session TEXT PRIMARY KEY, last TEXT NOT NULL, parts TEXT NOT NULL, recipe TEXT NOT NULL, version TEXT NOT NULL,
    at REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE recipes (recipe TEXT NOT NULL, version TEXT NOT NULL, text TEXT NOT NULL, PRIMARY KEY (recipe, version));
CREATE TABLE signals (
    number INTEGER PRIMARY KEY AUTOINCREMENT, output TEXT NOT NULL, id TEXT NOT NULL, due REAL NOT NULL, expires REAL,
    count INTEGER, test INTEGER NOT NULL, body BLOB NOT NULL, UNIQUE (output, id));
CREATE INDEX due ON signals (output, due);
CREATE TABLE missed (
    number INTEGER PRIMARY KEY, output TEXT NOT NULL, id TEXT NOT NULL, reason TEXT NOT NULL, at REAL NOT NULL);
CREATE INDEX missed_signals ON missed (output, id);
CREATE TABLE signal_counts (
    output TEXT PRIMARY KEY, decisions INTEGER NOT NULL DEFAULT 0, filtered INTEGER NOT NULL DEFAULT 0,
    sent INTEGER NOT NULL DEFAULT 0, missed INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
CREATE TABLE checks (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, line TEXT NOT NULL, request BLOB NOT NULL,
    record BLOB, at REAL NOT NULL, published INTEGER NOT NULL DEFAULT 0);
CREATE TABLE check_histories (line TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
PRAGMA user_version = {FORMAT};
COMMIT;
"""


@dataclass(frozen=True)
class StoredDecision:
    """A decision in the journal."""

    number: int
    message: PartDecided


class Journal:
    """The tables of the journal. Thread-safe: all methods hold one reentrant lock."""

    def __init__(self, folder: Path, retention: timedelta) -> None:
        """Open the journal in a folder, which only one process may use at a time.

        Raises:
            CannotStart: another gateway uses the folder, or the journal can't be used.
        """
        path = folder / "journal.sqlite"
        self._retention = retention.total_seconds()
        self._changed = threading.Condition(threading.RLock())
        self._version = 0
        self._recipes: dict[tuple[str, str], Recipe] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(f"{path}.lock")
            self._lock.acquire(timeout=0)
            self.database = _open(path)
            """Use it only inside `write`, `mark` or `read`."""
        except Timeout:
            raise CannotStart(f"another gateway uses {folder}: give each its own GATEWAY_FOLDER") from None
        except (sqlite3.Error, OSError) as error:
            raise CannotStart(f"the journal {path} can't be used: {error}: check GATEWAY_FOLDER") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._changed:
            self.database.close()
            self._lock.release()

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """Run a block as one transaction, which is on disk when the block ends; then end each `wait` for changes."""
        with self._changed, transaction(self.database):
            yield self.database
        self.wake()

    @contextmanager
    def mark(self) -> Iterator[sqlite3.Connection]:
        """Run a block as one transaction that records something that has already happened, such as a signal's sending.

        It ends no `wait`. The transaction survives a crash of the process, but is only on disk with the next `write`.
        If the host crashes before, the record is lost: a decision is published again, or a signal is sent again with
        the same id.
        """
        with self._changed:
            self.database.execute("PRAGMA synchronous = NORMAL")
            try:
                with transaction(self.database):
                    yield self.database
            finally:
                self.database.execute("PRAGMA synchronous = FULL")

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """Run a block that reads, while no other thread writes."""
        with self._changed:
            yield self.database

    def wake(self) -> None:
        """End each `wait` of all threads."""
        with self._changed:
            self._version += 1
            self._changed.notify_all()

    @property
    def version(self) -> int:
        """A number that grows with each change."""
        return self._version

    def wait(self, version: int, seconds: float) -> None:
        """Wait until the journal's version differs from ``version``, for ``seconds`` at most."""
        with self._changed:
            self._changed.wait_for(lambda: self._version != version, seconds)

    # ── parts: call these inside `write` ─────────────────────────────────────────────────────────────────────────────

    def record(self, changes: Changes, now: datetime) -> None:
        """Store changes of parts."""
        at = now.timestamp()
        pending = [
            *(
                (key, verdict.frame.frame_id, 1, verdict.encode(), *_plan_row(plan))
                for key, plan, verdict in changes.accepted
            ),
            *(
                (key, frame.frame_id, 0, frame.model_dump_json(), *_plan_row(plan))
                for key, plan, frame in changes.expected
            ),
        ]
        self.database.executemany(
            "INSERT INTO pending VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key, frame) DO UPDATE SET "
            "inspected = excluded.inspected, body = excluded.body WHERE excluded.inspected > inspected",
            pending,
        )
        for key, decision in changes.decided:
            self.database.execute("DELETE FROM pending WHERE key = ?", (key,))
            self._store_decision(key, decision, at, published=False)
        self.database.executemany(
            "INSERT OR IGNORE INTO late VALUES (?, ?, ?)", [(frame.frame_id, key, at) for key, frame in changes.late]
        )

    def adopt(self, decisions: Sequence[PartDecided], now: datetime) -> None:
        """Store decisions of another gateway: nothing is left to decide about their parts, or to publish."""
        with self.write():
            for decision in decisions:
                key = f"{decision.frame.line}/{decision.part}"
                self.database.execute("DELETE FROM pending WHERE key = ?", (key,))
                if not self.database.execute("SELECT 1 FROM decisions WHERE key = ?", (key,)).fetchone():
                    self._store_decision(key, decision, now.timestamp(), published=True)

    def record_session(self, last: FrameIdentity, plan: Plan, now: datetime) -> None:
        """Store the newest frame of a camera session."""
        self.database.execute(
            "INSERT OR REPLACE INTO sessions VALUES (?, ?, ?, ?, ?, ?)",
            (last.session, last.model_dump_json(), *_plan_row(plan), now.timestamp()),
        )

    def store_recipe(self, version: str, recipe: Recipe) -> None:
        """Store the recipe of a model version."""
        with self.write():
            row = recipe.name, version, recipe.to_yaml()
            self.database.execute("INSERT OR IGNORE INTO recipes VALUES (?, ?, ?)", row)

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def frames_of(self, key: str) -> frozenset[str] | None:
        """Return the ids of the frames of a decided part, late frames included; None if the part is not decided."""
        with self._changed:
            row = self.database.execute("SELECT frames FROM decisions WHERE key = ?", (key,)).fetchone()
        return frozenset(json.loads(row[0])) if row else None

    def recipe(self, name: str, version: str) -> Recipe | None:
        """Return the recipe of a model version; None if it is not stored."""
        with self._changed:
            if (name, version) not in self._recipes:
                found = self.database.execute(
                    "SELECT text FROM recipes WHERE recipe = ? AND version = ?", (name, version)
                ).fetchone()
                if found is None:
                    return None
                self._recipes[name, version] = parse_recipe(found[0])
            return self._recipes[name, version]

    def pending(self) -> Iterator[tuple[str, Plan, FrameInspected | FrameIdentity]]:
        """Yield the key and plan of each part that is not decided with each of its verdicts and expected frames."""
        with self._changed:
            rows = self.database.execute("SELECT key, inspected, body, parts, recipe, version FROM pending").fetchall()
        for key, inspected, body, *plan in rows:
            frame = decode(body) if inspected else FrameIdentity.model_validate_json(body)
            if isinstance(frame, FrameInspected | FrameIdentity):
                yield key, self._plan(*plan), frame

    def sessions(self) -> Iterator[tuple[FrameIdentity, Plan]]:
        """Yield the newest frame and the plan of each camera session, the oldest session first."""
        with self._changed:
            rows = self.database.execute("SELECT last, parts, recipe, version FROM sessions ORDER BY at").fetchall()
        for last, *plan in rows:
            yield FrameIdentity.model_validate_json(last), self._plan(*plan)

    def totals(self, line: str) -> dict[str, int]:
        """Return the number of parts of a line by their verdict, since the journal was created."""
        with self._changed:
            return dict(self.database.execute("SELECT verdict, parts FROM totals WHERE line = ?", (line,)))

    def late_frames(self) -> list[str]:
        """Return the ids of the frames that were inspected after their part was decided."""
        with self._changed:
            return [frame for (frame,) in self.database.execute("SELECT frame FROM late ORDER BY at, frame")]

    # ── the decisions to publish ─────────────────────────────────────────────────────────────────────────────────────

    def unpublished(self, most: int) -> Sequence[StoredDecision]:
        """Return the oldest decisions that the broker has not confirmed, ``most`` at most."""
        with self._changed:
            rows = self.database.execute(
                "SELECT number, body FROM decisions WHERE published = 0 ORDER BY number LIMIT ?", (most,)
            ).fetchall()
        decisions = ((number, decode(body)) for number, body in rows)
        return [StoredDecision(number, message) for number, message in decisions if isinstance(message, PartDecided)]

    def mark_published(self, decisions: Sequence[StoredDecision]) -> None:
        """Note that the broker has confirmed decisions."""
        with self.mark():
            self.database.executemany(
                "UPDATE decisions SET published = 1 WHERE number = ?", [(decision.number,) for decision in decisions]
            )

    # ── the checks of lines ──────────────────────────────────────────────────────────────────────────────────────────

    def begin_check(self, request: CheckRequested) -> bool:
        """Store that a check has begun; False if it is known already."""
        with self.write():
            row = request.check_id, request.line, request.encode(), request.at.timestamp()
            statement = "INSERT OR IGNORE INTO checks (id, line, request, at) VALUES (?, ?, ?, ?)"
            return self.database.execute(statement, row).rowcount == 1

    def finish_check(self, record: LineChecked) -> None:
        """Store the record of a check, which is to be published."""
        with self.write():
            self.database.execute("UPDATE checks SET record = ? WHERE id = ?", (record.encode(), record.check_id))

    def unfinished_checks(self) -> list[CheckRequested]:
        """Return the checks that have begun and have no record."""
        with self._changed:
            rows = self.database.execute("SELECT request FROM checks WHERE record IS NULL ORDER BY number").fetchall()
        return [request for (body,) in rows if isinstance(request := decode(body), CheckRequested)]

    def last_check(self, line: str) -> LineChecked | None:
        """Return the record of the last check of a line that ended; None if no check has ended."""
        with self._changed:
            row = self.database.execute(
                "SELECT record FROM checks WHERE line = ? AND record IS NOT NULL ORDER BY number DESC LIMIT 1", (line,)
            ).fetchone()
        record = decode(row[0]) if row else None
        return record if isinstance(record, LineChecked) else None

    def unpublished_checks(self) -> list[LineChecked]:
        """Return the records that the broker has not confirmed."""
        with self._changed:
            rows = self.database.execute(
                "SELECT record FROM checks WHERE record IS NOT NULL AND published = 0 ORDER BY number"
            ).fetchall()
        return [record for (body,) in rows if isinstance(record := decode(body), LineChecked)]

    def mark_check_published(self, check_id: str) -> None:
        """Note that the broker has confirmed a record."""
        with self.mark():
            self.database.execute("UPDATE checks SET published = 1 WHERE id = ?", (check_id,))

    def check_histories(self) -> dict[str, CheckHistory]:
        """Return what is known of the checks of each line."""
        with self._changed:
            rows = self.database.execute("SELECT line, body FROM check_histories").fetchall()
        return {line: CheckHistory.model_validate_json(body) for line, body in rows}

    def store_check_history(self, line: str, history: CheckHistory) -> None:
        """Store what is known of the checks of a line: on disk at once, or with the transaction around it."""
        with self._changed:
            self.database.execute(
                "INSERT OR REPLACE INTO check_histories VALUES (?, ?)", (line, history.model_dump_json())
            )

    def forget_old(self, now: datetime) -> None:
        """Delete published decisions, and other rows, that are older than the retention."""
        before = now.timestamp() - self._retention
        with self.mark():
            self.database.execute("DELETE FROM decisions WHERE at < ? AND published = 1", (before,))
            for table in ("late", "sessions", "missed"):
                self.database.execute(f"DELETE FROM {table} WHERE at < ?", (before,))  # noqa: S608  the names are constants
            self.database.execute(
                "DELETE FROM checks WHERE at < ? AND published = 1 "
                "AND number NOT IN (SELECT max(number) FROM checks GROUP BY line)",
                (before,),
            )

    def is_too_old(self, frame: FrameIdentity, now: datetime) -> bool:
        """Return whether a frame is older than the retention, so that the decision about its part may be deleted."""
        return (now - frame.captured_at).total_seconds() > self._retention

    def _store_decision(self, key: str, decision: PartDecided, at: float, *, published: bool) -> None:
        self.database.execute(
            "INSERT INTO decisions (key, frames, at, body, published) VALUES (?, ?, ?, ?, ?)",
            (key, json.dumps([*decision.frames, *decision.late]), at, decision.encode(), published),
        )
        self.database.execute(
            "INSERT INTO totals VALUES (?, ?, 1) ON CONFLICT (line, verdict) DO UPDATE SET parts = parts + 1",
            (decision.frame.line, decision.verdict.value),
        )

    def _plan(self, parts: str, recipe: str, version: str) -> Plan:
        found = self.recipe(recipe, version)
        if found is None:
            raise CannotStart(f"the journal lacks the recipe {recipe} of model {version}: move GATEWAY_FOLDER away")
        return Plan(Parts.model_validate_json(parts), found, version)


def _plan_row(plan: Plan) -> tuple[str, str, str]:
    return plan.parts.model_dump_json(), plan.recipe.name, plan.version


def _open(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    version = database.execute("PRAGMA user_version").fetchone()[0]
    if version not in (0, FORMAT):
        raise CannotStart(f"{path} was written by another version: use that version, or move the file away")
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    if version != FORMAT:
        database.executescript(SCHEMA)
    return database

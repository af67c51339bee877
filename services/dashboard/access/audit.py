"""The audit log: one object per entry, ``audit/<day>/<id>.json`` in object storage, which never changes.

An entry is written before its action, so no action lacks an entry. If the action fails, a second object says why. If
object storage is unavailable then, a thread writes the second object later, unless the process ends before.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import lru_cache, partial
from typing import Annotated, Final

import structlog
from pydantic import AwareDatetime, BaseModel, Field, JsonValue
from ulid import ULID

from services.dashboard.settings import DashboardSettings
from services.dashboard.web.service_registry import provided
from shared.retry import retrying
from shared.storage.opening import open_store
from shared.storage.port import ObjectStore, StorageError
from shared.storage.records import read_or_skip

FOLDER: Final = "audit"
ENTRY: Final = ".json"
OUTCOME: Final = ".outcome.json"
"""End of the key of the second object of an action that failed: the entry again, with the reason."""
MOST_CACHED: Final = 5_000
"""Most entries in the cache."""
LONGEST_PAUSE: Final = 30.0
"""Most seconds between two attempts to write an outcome."""

_log = structlog.stdlib.get_logger("audit")


def audit_store(settings: DashboardSettings, store: ObjectStore) -> ObjectStore:
    """Return the storage of the audit log: the one in the settings, or ``store`` if they have none."""
    return open_store(settings, settings.audit_storage_url) if settings.audit_storage_url else store


class AuditEntry(BaseModel):
    """An action, its author, and what it was done to."""

    id: str = Field(examples=["01JF6Z6TX4W8E1V2M6C3N9Q7RB"])
    at: AwareDatetime
    by: str = Field(description="person or token", examples=["eva"])
    action: str = Field(description="noun and verb", examples=["model.promote"])
    subject: str = Field(description="what the action was done to", examples=["seam/20260131-120000-1f3a"])
    details: dict[str, JsonValue] = Field({}, examples=[{"reason": "fewer escapes on the new cloth"}])
    failed: str | None = Field(None, description="why the action failed; null: no failure is known")


class Audit:
    """Writes and reads the audit log."""

    def __init__(self, store: ObjectStore, stop: threading.Event | None = None) -> None:
        """``stop`` ends the attempts to write an outcome."""
        self._store = store
        self._stop = stop or threading.Event()

        @lru_cache(maxsize=MOST_CACHED)  # entries never change
        def read(key: str) -> AuditEntry:
            return AuditEntry.model_validate_json(self._store.get(key))

        self._read = read

    def record(self, action: str, subject: str, by: str, **details: JsonValue) -> AuditEntry:
        """Write an entry; call this before the action.

        Args:
            action: noun and verb, such as ``model.promote``.
            subject: the object of the action, such as ``seam/20260131-120000-1f3a``.
            by: the caller's name.
            details: more facts about the action; no secrets.

        Raises:
            StorageError: the entry was not written, so the action must not happen.
        """
        now = datetime.now(UTC)
        return self.record_once(ULID.from_datetime(now), now, action, subject, by, **details)

    def record_once(
        self, entry_id: ULID, at: datetime, action: str, subject: str, by: str, **details: JsonValue
    ) -> AuditEntry:
        """Write an entry under a given id and time: the same entry, however often it is written; see `record`."""
        entry = AuditEntry(id=str(entry_id), at=at, by=by, action=action, subject=subject, details=details)
        self._put(entry, ENTRY)
        return entry

    @contextmanager
    def recording(self, action: str, subject: str, by: str, **details: JsonValue) -> Iterator[AuditEntry]:
        """Write an entry before the block, and its outcome if the block fails.

        Raises:
            StorageError: the entry was not written; the block is not entered.
        """
        entry = self.record(action, subject, by, **details)
        try:
            yield entry
        except Exception as error:
            outcome = entry.model_copy(update={"failed": str(error) or type(error).__name__})
            try:
                self._put(outcome, OUTCOME)
            except StorageError as trouble:
                _log.warning("the outcome is written when storage is back", entry=entry.id, reason=str(trouble))
                threading.Thread(target=self._put_later, args=(outcome,), name="audit", daemon=True).start()
            raise

    def newest(self, first: datetime, last: datetime, before: str | None) -> Iterator[AuditEntry]:
        """Yield the entries of some days, newest first, each with its outcome.

        Args:
            first: a time on the first day (UTC).
            last: a time on the last day (UTC).
            before: the id of an entry; only older entries are yielded.
        """
        if before and ULID.from_str(before).milliseconds < last.timestamp() * 1000:
            last = ULID.from_str(before).datetime
        for age in range((last.date() - first.date()).days + 1):
            day = last.date() - timedelta(days=age)
            names = {key.rpartition("/")[2] for key in self._store.keys(f"{FOLDER}/{day}/")}
            for entry_id in sorted({name.partition(".")[0] for name in names}, reverse=True):
                if before is None or entry_id < before:
                    ending = OUTCOME if f"{entry_id}{OUTCOME}" in names else ENTRY
                    key = f"{FOLDER}/{day}/{entry_id}{ending}"
                    entry = read_or_skip(key, partial(self._read, key))
                    if entry is not None:
                        yield entry

    def _put_later(self, outcome: AuditEntry) -> None:
        try:
            retrying(self._stop, StorageError, longest=LONGEST_PAUSE)(self._put, outcome, OUTCOME)
        except StorageError:
            _log.error("an outcome was not written", entry=outcome.id, action=outcome.action, failed=outcome.failed)

    def _put(self, entry: AuditEntry, ending: str) -> None:
        key = f"{FOLDER}/{entry.at:%Y-%m-%d}/{entry.id}{ending}"
        self._store.put(key, entry.model_dump_json().encode(), "application/json")


Audited = Annotated[Audit, provided(Audit)]
"""The audit log in an endpoint: ``audit.record(…)``, or ``with audit.recording(…)`` around what may fail."""

"""The audit log: who did what, one object each below ``audit/<day>/`` in object storage, never changed.

What people are about to do is written first, so that nothing happens unseen; what then fails is followed by a second
object, which says why. Where storage went away meanwhile, the second object comes when it is back, unless the process
ends before.
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
from services.dashboard.web.services import provided
from shared.retry import patient
from shared.storage import open_store
from shared.storage.port import ObjectStore, StorageError
from shared.storage.records import readable

FOLDER: Final = "audit"
WRITTEN: Final = ".json"
OUTCOME: Final = ".outcome.json"
"""Of what failed: the entry again, with the reason."""
MOST_REMEMBERED: Final = 5_000
"""Entries that need not be read again."""
LONGEST_PAUSE: Final = 30.0
"""Seconds between two tries to write how something ended."""

_log = structlog.stdlib.get_logger("audit")


def audit_store(settings: DashboardSettings, store: ObjectStore) -> ObjectStore:
    """Where the settings say that the audit log is: in a storage of its own, or in ``store`` with everything else."""
    return open_store(settings, settings.audit_storage_url) if settings.audit_storage_url else store


class AuditEntry(BaseModel):
    """Who did what."""

    id: str = Field(examples=["01JF6Z6TX4W8E1V2M6C3N9Q7RB"])
    at: AwareDatetime
    by: str = Field(description="person or token", examples=["eva"])
    action: str = Field(description="noun and verb", examples=["model.promote"])
    subject: str = Field(description="of what", examples=["seam/20260131-120000-1f3a"])
    details: dict[str, JsonValue] = Field({}, examples=[{"reason": "fewer escapes on the new cloth"}])
    failed: str | None = Field(None, description="why it did not happen; null: nothing is known that hindered it")


class Audit:
    """Writes the audit log."""

    def __init__(self, store: ObjectStore, stop: threading.Event | None = None) -> None:
        """``stop`` ends the waiting for a storage that is away."""
        self._store = store
        self._stop = stop or threading.Event()
        self._read = lru_cache(maxsize=MOST_REMEMBERED)(self._read_entry)  # they never change

    def record(self, action: str, subject: str, by: str, **details: JsonValue) -> AuditEntry:
        """Keep that somebody does something; call it before it is done.

        Args:
            action: noun and verb, such as ``model.promote``.
            subject: what it is done to, such as ``seam/20260131-120000-1f3a``.
            by: the caller's name.
            details: whatever else should be known; no secrets.

        Raises:
            StorageError: it was not kept, so it should not be done.
        """
        now = datetime.now(UTC)
        entry = AuditEntry(
            id=str(ULID.from_datetime(now)), at=now, by=by, action=action, subject=subject, details=details
        )
        self._keep(entry, f"{entry.id}{WRITTEN}")
        return entry

    @contextmanager
    def recording(self, action: str, subject: str, by: str, **details: JsonValue) -> Iterator[AuditEntry]:
        """Keep that somebody does what is done within the block, and if that fails, why.

        Raises:
            StorageError: it was not kept; the block is not entered.
        """
        entry = self.record(action, subject, by, **details)
        try:
            yield entry
        except Exception as error:
            self._conclude(entry.model_copy(update={"failed": str(error) or type(error).__name__}))
            raise

    def newest(self, first: datetime, last: datetime, before: str | None) -> Iterator[AuditEntry]:
        """The entries of some days, newest first, each as it ended.

        Args:
            first: on this day (UTC) or later.
            last: on this day or earlier.
            before: id of an entry: older ones only.
        """
        if before and ULID.from_str(before).milliseconds < last.timestamp() * 1000:
            last = ULID.from_str(before).datetime
        for age in range((last.date() - first.date()).days + 1):
            day = last.date() - timedelta(days=age)
            names = {key.rpartition("/")[2] for key in self._store.keys(f"{FOLDER}/{day}/")}
            for entry_id in sorted({name.partition(".")[0] for name in names}, reverse=True):
                if before is None or entry_id < before:
                    ending = OUTCOME if f"{entry_id}{OUTCOME}" in names else WRITTEN
                    key = f"{FOLDER}/{day}/{entry_id}{ending}"
                    entry = readable(key, partial(self._read, key))
                    if entry is not None:
                        yield entry

    def _read_entry(self, key: str) -> AuditEntry:
        return AuditEntry.model_validate_json(self._store.get(key))

    def _conclude(self, entry: AuditEntry) -> None:
        """Keep how something ended: now, or when storage is back. The first trouble is what is raised."""
        try:
            self._keep(entry, f"{entry.id}{OUTCOME}")
        except StorageError as error:
            _log.warning("how it ended is written when storage is back", entry=entry.id, reason=str(error))
            threading.Thread(target=self._conclude_late, args=(entry,), name="audit", daemon=True).start()

    def _conclude_late(self, entry: AuditEntry) -> None:
        try:
            patient(self._stop, StorageError, longest=LONGEST_PAUSE)(self._keep, entry, f"{entry.id}{OUTCOME}")
        except StorageError:
            _log.error("how it ended was not written", entry=entry.id, action=entry.action, failed=entry.failed)

    def _keep(self, entry: AuditEntry, name: str) -> None:
        key = f"{FOLDER}/{entry.at:%Y-%m-%d}/{name}"
        self._store.put(key, entry.model_dump_json().encode(), "application/json")


Audited = Annotated[Audit, provided(Audit)]
"""The audit log in an endpoint: ``audit.record(…)``, or ``with audit.recording(…)`` around what may fail."""

"""The register of people and tokens: every change an object below ``people/`` in object storage.

Object storage because it is what gets backed up: Redis can be lost and filled again, and people can't be counted again.
"""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

import structlog
from ulid import ULID

from services.dashboard.access.directory import CHANGE, Change, Directory, directory_of
from services.dashboard.store.refreshed import Refreshed
from shared.storage.port import ObjectStore, StorageError, StorageUnavailable
from shared.storage.records import readable

FOLDER: Final = "people"
FRESH_SECONDS: Final = 2.0
"""Changes made by another process hold here after so long."""
PATIENCE: Final = 0.5
"""Seconds that a request waits for storage; then people are as they were last known."""
FIRST_PATIENCE: Final = 20.0
"""The same, while nobody is known at all."""
LATEST: Final = datetime(2100, 1, 1, tzinfo=UTC)

_log = structlog.stdlib.get_logger("access")


class Register:
    """Everybody who may come in, as of two seconds ago at most; while object storage is away, as last known."""

    def __init__(self, store: ObjectStore, fresh_seconds: float = FRESH_SECONDS) -> None:
        self._store = store
        self._changes: dict[str, Change] = {}
        self._directory: Directory | None = None
        self._lock = threading.Lock()
        self._seen = Refreshed(self._look, fresh_seconds=fresh_seconds, name="people")

    def look(self) -> Directory:
        """Who is known.

        Raises:
            StorageError: nobody was ever looked up, and object storage is away.
        """
        found = self._seen.look(PATIENCE if self._directory else FIRST_PATIENCE)
        if self._directory is not None:
            return self._directory
        if isinstance(found.error, TimeoutError):
            raise StorageUnavailable("object storage does not answer") from found.error
        raise found.error or StorageUnavailable("object storage was not read")

    def change(self, change: Change) -> tuple[str, Directory]:
        """Keep a change, and look what it came to: another one may have been earlier.

        Returns:
            The change's id, and who is known now.

        Raises:
            StorageError: it was not kept.
        """
        with self._lock:
            self._read()
            change_id = self._next_id()
            self._store.put(_key(change_id), CHANGE.dump_json(change), "application/json")
            return change_id, self._read()

    def _look(self) -> Directory:
        try:
            with self._lock:
                return self._read()
        except StorageError as error:
            if self._directory is not None:
                _log.warning("people are as they were last known", reason=str(error))
            raise

    def _read(self) -> Directory:
        found = {key.rpartition("/")[2].removesuffix(".json"): key for key in self._store.keys(f"{FOLDER}/")}
        new = {change_id: key for change_id, key in found.items() if change_id not in self._changes}
        for change_id, key in new.items():
            change = readable(key, partial(self._read_change, change_id, key))
            if change is not None:
                self._changes[change_id] = change
        if new or self._directory is None:
            self._directory = directory_of(sorted(self._changes.items()))
        return self._directory

    def _read_change(self, change_id: str, key: str) -> Change:
        if not ULID.from_str(change_id).datetime < LATEST:
            raise ValueError(f"{change_id} is of a time that no later change could have")
        return CHANGE.validate_json(self._store.get(key))

    def _next_id(self) -> str:
        """Later than every change that is known, whatever the clock of the one who made it says."""
        now = datetime.now(UTC)
        last = max(self._changes, default=None)
        if last is not None:
            now = max(now, ULID.from_str(last).datetime + timedelta(milliseconds=1))
        return str(ULID.from_datetime(now))


def _key(change_id: str) -> str:
    return f"{FOLDER}/{change_id}.json"

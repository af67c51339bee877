"""The repository of people and tokens: each change is an object below ``people/`` in object storage.

People are not in Redis, because Redis is not backed up, and the archive from which it is filled again has no people.
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
from shared.storage.records import read_or_skip

FOLDER: Final = "people"
FRESH_SECONDS: Final = 2.0
"""Seconds after which the changes are read again, with those that other processes have made."""
TIMEOUT: Final = 0.5
"""Most seconds that a request waits for object storage; then it gets the cached people."""
FIRST_TIMEOUT: Final = 20.0
"""Most seconds that a request waits if there are no cached people."""
LATEST: Final = datetime(2100, 1, 1, tzinfo=UTC)
"""A change with a later time in its id is refused, because no change could follow it."""

_log = structlog.stdlib.get_logger("access")


class PeopleRepository:
    """Reads and stores people and tokens. They are cached for two seconds, or longer without object storage."""

    def __init__(self, store: ObjectStore, fresh_seconds: float = FRESH_SECONDS) -> None:
        self._store = store
        self._changes: dict[str, Change] = {}
        self._directory: Directory | None = None
        self._lock = threading.Lock()
        self._cached = Refreshed(self._refresh, fresh_seconds=fresh_seconds, name="people")

    def directory(self) -> Directory:
        """Return all people and tokens.

        Raises:
            StorageError: object storage is unavailable, and they were never read.
        """
        found = self._cached.get(TIMEOUT if self._directory else FIRST_TIMEOUT)
        if self._directory is not None:
            return self._directory
        if isinstance(found.error, TimeoutError):
            raise StorageUnavailable("object storage does not answer") from found.error
        raise found.error or StorageUnavailable("object storage was not read")

    def store(self, change: Change) -> tuple[str, Directory]:
        """Store a change; return its id, and all people and tokens after it.

        The change is void if a change that another process has just stored excludes it.

        Raises:
            StorageError: the change was not stored.
        """
        with self._lock:
            self._read()
            # later than all changes that were read, even if the clock of their author is ahead
            now, last = datetime.now(UTC), max(self._changes, default=None)
            if last is not None:
                now = max(now, ULID.from_str(last).datetime + timedelta(milliseconds=1))
            change_id = str(ULID.from_datetime(now))
            self._store.put(f"{FOLDER}/{change_id}.json", CHANGE.dump_json(change), "application/json")
            return change_id, self._read()

    def _refresh(self) -> Directory:
        try:
            with self._lock:
                return self._read()
        except StorageError as error:
            if self._directory is not None:
                _log.warning("object storage is away: using the cached people", reason=str(error))
            raise

    def _read(self) -> Directory:
        """Read the changes that were not read before, and return the people and tokens after them."""
        found = {key.rpartition("/")[2].removesuffix(".json"): key for key in self._store.keys(f"{FOLDER}/")}
        new = {change_id: key for change_id, key in found.items() if change_id not in self._changes}

        def read(change_id: str, key: str) -> Change:
            if not ULID.from_str(change_id).datetime < LATEST:
                raise ValueError(f"{change_id} has a time that no later change could have")
            return CHANGE.validate_json(self._store.get(key))

        for change_id, key in new.items():
            change = read_or_skip(key, partial(read, change_id, key))
            if change is not None:
                self._changes[change_id] = change
        if new or self._directory is None:
            self._directory = directory_of(sorted(self._changes.items()))
        return self._directory

"""The ledger: every record of a source, read once, and folded into what holds of each frame."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import structlog
from pydantic import ValidationError

from services.dashboard.labelling.records import UNREAD, Record, State
from shared.storage.port import ObjectStore

FOLDER: Final = "labelling/records"
FRESH_SECONDS: Final = 1.0
"""What another dashboard wrote is known after so long."""
THREADS: Final = 16

_log = structlog.stdlib.get_logger("labelling")


class History:
    """The records of one source in their order, and what they make of each frame. Several threads may read it."""

    def __init__(self) -> None:
        self.records: Sequence[Record] = ()
        self.states: Mapping[str, State] = {}

    def add(self, records: Sequence[Record]) -> None:
        """Take records in, in any order. What others are reading stays as it is."""
        newest = self.records[-1].id if self.records else ""
        self.records = sorted([*self.records, *records], key=lambda each: each.id)
        if len(records) == 1 and records[0].undoes is None and records[0].id > newest:
            self.states = {**self.states, **_changes(self.states, records[0])}
        elif records:
            self.states = self._fold()

    def state(self, frame: str) -> State:
        """What holds of a frame."""
        return self.states.get(frame, UNREAD)

    def find(self, record_id: str) -> Record | None:
        """A record; None when there is none of that id."""
        return next((record for record in self.records if record.id == record_id), None)

    def standing(self) -> Iterator[Record]:
        """The records that label and are not undone, newest first."""
        undone = {record.undoes for record in self.records}
        return (record for record in reversed(self.records) if record.undoes is None and record.id not in undone)

    def _fold(self) -> dict[str, State]:
        states: dict[str, State] = {}
        for record in reversed(list(self.standing())):
            states.update(_changes(states, record))
        return states


class Ledger:
    """The records of all sources. Whatever is answered as saved is in object storage."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._histories: dict[str, History] = {}
        self._looked: dict[str, float] = {}
        self._known: dict[str, set[str]] = {}
        self._lock = threading.Lock()
        self._reading: dict[str, threading.Lock] = {}

    def append(self, record: Record) -> None:
        """Keep a record.

        Raises:
            StorageError: it was not kept, and nothing has changed.
        """
        key = f"{FOLDER}/{record.source}/{record.id}.json"
        self._store.put(key, record.model_dump_json(exclude_defaults=True).encode(), "application/json")
        with self._lock:
            self._take(record.source, {key: record})

    def history(self, source: str) -> History:
        """The records of a source, with those that another dashboard wrote until a second ago.

        Raises:
            StorageError: nobody knows.
        """
        with self._lock:
            turn = self._reading.setdefault(source, threading.Lock())
        with turn:
            if time.monotonic() - self._looked.get(source, float("-inf")) > FRESH_SECONDS:
                self._look(source)
            return self._histories[source]

    def sources(self) -> list[str]:
        """Those that have records."""
        return sorted({key.split("/")[2] for key in self._store.keys(f"{FOLDER}/")})

    def _look(self, source: str) -> None:
        known = self._known.get(source, set())
        unread = [key for key in self._store.keys(f"{FOLDER}/{source}/") if key not in known]
        with ThreadPoolExecutor(min(THREADS, len(unread) or 1)) as pool:
            found = dict(zip(unread, pool.map(self._read, unread), strict=True))
        with self._lock:
            self._take(source, found)
            self._looked[source] = time.monotonic()

    def _take(self, source: str, found: Mapping[str, Record | None]) -> None:
        """Under the lock. Readers keep the states that they have."""
        history = self._histories.setdefault(source, History())
        known = self._known.setdefault(source, set())
        new = {key: record for key, record in found.items() if key not in known}
        known.update(new)
        history.add([record for record in new.values() if record is not None])

    def _read(self, key: str) -> Record | None:
        try:
            return Record.model_validate_json(self._store.get(key))
        except ValidationError as error:
            _log.error("passed over a record that can't be read", key=key, reason=str(error.errors()[0]["msg"]))
            return None


def _changes(states: Mapping[str, State], record: Record) -> dict[str, State]:
    return {frame: states.get(frame, UNREAD).with_(record) for frame in record.frames}

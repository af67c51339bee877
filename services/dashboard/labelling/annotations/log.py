"""The ledger: every record of a source, read once, and folded into what holds of each frame.

``labelling/records/<source>/<bucket>/<ulid>.json``, where a bucket is the beginning of the ULID: 17 minutes. So what
others wrote of late is found by listing two or three short folders, however much was ever said.
"""

from __future__ import annotations

import gzip
import threading
import time
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog
from pydantic import ValidationError
from ulid import ULID

from services.dashboard.labelling.annotations.annotation import UNREAD, Record, State
from shared.storage.port import ObjectNotFound, ObjectStore, StorageError
from shared.storage.records import readable

FOLDER: Final = "labelling/records"
GATHERED: Final = "labelling/gathered"
FRESH_SECONDS: Final = 1.0
"""What another dashboard wrote is known after so long."""
PAUSE_SECONDS: Final = 5.0
"""Whoever saves and was away for longer waits for what others wrote meanwhile."""
BUCKET: Final = 6
"""Characters of a ULID."""
BUCKET_LENGTH: Final = timedelta(milliseconds=32 ** (10 - BUCKET))
MARGIN: Final = timedelta(minutes=2)
"""By so much the clocks of two dashboards may differ."""
LONG_AGO: Final = timedelta(minutes=30)
"""Who has not looked for so long looks at everything."""
GATHER: Final = 500
"""Records read one by one, after which all are gathered in one object, so that the next process reads that."""
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
        if len(records) == 1 and records[0].undoes is None and records[0].id > newest:
            self.records = [*self.records, *records]
            self.states = {**self.states, **_changes(self.states, records[0])}
        elif records:
            self.records = sorted([*self.records, *records], key=lambda each: each.id)
            self.states = self._fold()

    def state(self, frame: str) -> State:
        """What holds of a frame."""
        return self.states.get(frame, UNREAD)

    def standing(self) -> Iterator[Record]:
        """The records that label and are not undone, newest first."""
        undone = {record.undoes for record in self.records}
        return (record for record in reversed(self.records) if record.undoes is None and record.id not in undone)

    def _fold(self) -> dict[str, State]:
        """In the order of their ids: what was said before something was taken back had been said then."""
        states: dict[str, State] = {}
        said: dict[str, list[Record]] = defaultdict(list)
        undone: set[str] = set()
        for record in self.records:
            if record.undoes is not None:
                undone.add(record.undoes)
                for frame in record.frames:
                    said[frame] = [each for each in said[frame] if each.id not in undone]
                    states[frame] = states.get(frame, UNREAD).without(record.undoes, record, said[frame])
            elif record.id not in undone:
                for frame in record.frames:
                    said[frame].append(record)
                states.update(_changes(states, record))
        return {frame: state for frame, state in states.items() if state != UNREAD}


class _Source:
    """What is known of one source."""

    def __init__(self) -> None:
        self.history = History()
        self.known: set[str] = set()
        self.looked: datetime | None = None
        self.looked_at = float("-inf")
        """By the clock that never jumps."""
        self.turn = threading.Lock()

    def looked_within(self, seconds: float) -> bool:
        return time.monotonic() - self.looked_at <= seconds


class Ledger:
    """The records of all sources. Whatever is answered as saved is in object storage."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._sources: dict[str, _Source] = {}
        self._lock = threading.Lock()
        self._behind = ThreadPoolExecutor(1, thread_name_prefix="ledger")

    def append(self, record: Record) -> None:
        """Keep a record.

        Raises:
            StorageError: it was not kept, and nothing has changed.
        """
        key = _key(record)
        self._store.put(key, record.model_dump_json(exclude_defaults=True).encode(), "application/json")
        self._take(self._source(record.source), {key: record})

    def history(self, source: str, *, at_once: bool = False) -> History:
        """The records of a source, with those that another dashboard wrote until a second ago.

        Args:
            source: of frames.
            at_once: rather now than fresh, for whoever saves one label after the other: what was known here a moment
                ago is given, and others are looked for behind.

        Raises:
            StorageError: nobody knows.
        """
        found = self._source(source)
        if at_once and found.looked_within(PAUSE_SECONDS):
            if not found.looked_within(FRESH_SECONDS):
                self._behind.submit(self._look_quietly, source, found)
        else:
            self._look(source, found)
        return found.history

    def sources(self) -> list[str]:
        """Those that have records."""
        return sorted({key.split("/")[2] for key in self._store.keys(f"{FOLDER}/") if key.count("/") > 2})

    def close(self) -> None:
        """Look for nothing any more."""
        self._behind.shutdown(cancel_futures=True)

    def _source(self, source: str) -> _Source:
        with self._lock:
            return self._sources.setdefault(source, _Source())

    def _look_quietly(self, source: str, found: _Source) -> None:
        try:
            self._look(source, found)
        except StorageError as error:
            _log.warning("what others said can't be looked for", source=source, reason=str(error))

    def _look(self, source: str, found: _Source) -> None:
        with found.turn:
            if found.looked_within(FRESH_SECONDS):
                return
            now = datetime.now(UTC)
            if found.looked is None:
                self._take(found, self._gathered(source))
            unread = [key for key in self._keys(source, found.looked, now) if key not in found.known]
            with ThreadPoolExecutor(min(THREADS, len(unread) or 1)) as pool:
                self._take(found, dict(zip(unread, pool.map(self._read, unread), strict=True)))
            found.looked, found.looked_at = now, time.monotonic()
            if len(unread) > GATHER:
                self._gather(source, found.history.records)

    def _keys(self, source: str, looked: datetime | None, now: datetime) -> Iterator[str]:
        """All keys, or those that may have come since somebody looked."""
        if looked is None or now - looked > LONG_AGO:
            yield from self._store.keys(f"{FOLDER}/{source}/")
            return
        moment, buckets = looked - MARGIN, list[str]()
        while moment < now + MARGIN + BUCKET_LENGTH:
            buckets.append(str(ULID.from_datetime(moment))[:BUCKET])
            moment += BUCKET_LENGTH
        for bucket in buckets:
            yield from self._store.keys(f"{FOLDER}/{source}/{bucket}/")

    def _take(self, found: _Source, records: Mapping[str, Record | None]) -> None:
        with self._lock:
            new = {key: record for key, record in records.items() if key not in found.known}
            found.known.update(new)
            found.history.add([record for record in new.values() if record is not None])

    def _read(self, key: str) -> Record | None:
        return readable(key, lambda: Record.model_validate_json(self._store.get(key)))

    def _gather(self, source: str, records: Iterable[Record]) -> None:
        """A copy of what is there, for speed alone: the records themselves stay, and are what holds."""
        lines = "\n".join(record.model_dump_json(exclude_defaults=True) for record in records)
        self._store.put(f"{GATHERED}/{source}.jsonl.gz", gzip.compress(lines.encode()), "application/gzip")

    def _gathered(self, source: str) -> dict[str, Record | None]:
        """The records of the copy; none where it can't be read."""
        try:
            content = gzip.decompress(self._store.get(f"{GATHERED}/{source}.jsonl.gz"))
            records = [Record.model_validate_json(line) for line in content.splitlines()]
        except (ObjectNotFound, OSError, EOFError, zlib.error, ValidationError):
            return {}
        return {_key(record): record for record in records}


def _key(record: Record) -> str:
    return f"{FOLDER}/{record.source}/{record.id[:BUCKET]}/{record.id}.json"


def _changes(states: Mapping[str, State], record: Record) -> dict[str, State]:
    return {frame: states.get(frame, UNREAD).with_(record) for frame in record.frames}

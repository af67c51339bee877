"""Annotations in object storage: one object each, never changed or removed.

An annotation is ``labelling/annotations/<source>/<bucket>/<ulid>.json``. The bucket is the beginning of the ULID and
covers 17 minutes. So recent annotations of other dashboards are found by listing two or three short folders, however
long the log is.
"""

from __future__ import annotations

import gzip
import threading
import time
import zlib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog
from pydantic import ValidationError
from ulid import ULID

from services.dashboard.labelling.annotations.annotation import Annotation
from services.dashboard.labelling.annotations.log import AnnotationLog
from shared.storage.port import ObjectNotFound, ObjectStore, StorageError
from shared.storage.records import read_or_skip

FOLDER: Final = "labelling/annotations"
COPIES: Final = "labelling/annotation-copies"
FRESH_SECONDS: Final = 1.0
"""A log is listed again at most this often."""
STALE_SECONDS: Final = 5.0
"""A log that was listed longer ago is listed again before a save."""
BUCKET: Final = 6
"""Characters of a ULID."""
BUCKET_LENGTH: Final = timedelta(milliseconds=32 ** (10 - BUCKET))
CLOCK_MARGIN: Final = timedelta(minutes=2)
"""Difference allowed between the clocks of two dashboards."""
RELIST_AFTER: Final = timedelta(minutes=30)
"""A log that was listed longer ago is listed from its beginning."""
COPY_AFTER: Final = 500
"""Annotations read one by one, after which a copy of all is stored, so that the next process reads one object."""
THREADS: Final = 16

_log = structlog.stdlib.get_logger("labelling")


class _CachedLog:
    """The log of one source as far as this process has read it."""

    def __init__(self) -> None:
        self.log = AnnotationLog()
        self.read_keys: set[str] = set()
        self.listed_at: datetime | None = None
        self.listed_monotonic = float("-inf")
        self.listing = threading.Lock()

    def listed_within(self, seconds: float) -> bool:
        return time.monotonic() - self.listed_monotonic <= seconds


class AnnotationRepository:
    """The annotation logs of all sources, cached in memory."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._logs: dict[str, _CachedLog] = {}
        self._lock = threading.Lock()
        self._background = ThreadPoolExecutor(1, thread_name_prefix="annotations")

    def append(self, annotation: Annotation) -> None:
        """Store an annotation.

        Raises:
            StorageError: the annotation was not stored, and the log is unchanged.
        """
        key = _key(annotation)
        self._store.put(key, annotation.model_dump_json(exclude_defaults=True).encode(), "application/json")
        self._add(self._cached(annotation.source), {key: annotation})

    def log(self, source: str, *, without_waiting: bool = False) -> AnnotationLog:
        """Return the log of a source, with what other dashboards stored until a second ago.

        Args:
            source: id of the source.
            without_waiting: return a log that was listed within the last five seconds as it is, and list it again in
                the background; for a person who saves one annotation after the other.

        Raises:
            StorageError: the log can't be read.
        """
        cached = self._cached(source)

        def refresh() -> None:
            try:
                self._refresh(source, cached)
            except StorageError as error:
                _log.warning("can't list the annotations of other dashboards", source=source, reason=str(error))

        if without_waiting and cached.listed_within(STALE_SECONDS):
            if not cached.listed_within(FRESH_SECONDS):
                self._background.submit(refresh)
        else:
            self._refresh(source, cached)
        return cached.log

    def sources(self) -> list[str]:
        """Return the ids of the sources that have annotations."""
        return sorted({key.split("/")[2] for key in self._store.keys(f"{FOLDER}/") if key.count("/") > 2})

    def close(self) -> None:
        """Stop the background thread."""
        self._background.shutdown(cancel_futures=True)

    def _cached(self, source: str) -> _CachedLog:
        with self._lock:
            return self._logs.setdefault(source, _CachedLog())

    def _refresh(self, source: str, cached: _CachedLog) -> None:
        """Read the annotations that this process has not read yet."""
        with cached.listing:
            if cached.listed_within(FRESH_SECONDS):
                return
            now = datetime.now(UTC)
            if cached.listed_at is None:
                self._add(cached, self._read_copy(source))
            unread = [key for key in self._keys(source, cached.listed_at, now) if key not in cached.read_keys]
            with ThreadPoolExecutor(min(THREADS, len(unread) or 1)) as pool:
                read = pool.map(
                    lambda key: read_or_skip(key, lambda: Annotation.model_validate_json(self._store.get(key))), unread
                )
                self._add(cached, dict(zip(unread, read, strict=True)))
            cached.listed_at, cached.listed_monotonic = now, time.monotonic()
            if len(unread) > COPY_AFTER:
                lines = "\n".join(each.model_dump_json(exclude_defaults=True) for each in cached.log.annotations)
                self._store.put(f"{COPIES}/{source}.jsonl.gz", gzip.compress(lines.encode()), "application/gzip")

    def _keys(self, source: str, listed_at: datetime | None, now: datetime) -> Iterator[str]:
        """Yield all keys of a source, or those that may be new since it was listed."""
        if listed_at is None or now - listed_at > RELIST_AFTER:
            yield from self._store.keys(f"{FOLDER}/{source}/")
            return
        moment = listed_at - CLOCK_MARGIN
        while moment < now + CLOCK_MARGIN + BUCKET_LENGTH:
            yield from self._store.keys(f"{FOLDER}/{source}/{str(ULID.from_datetime(moment))[:BUCKET]}/")
            moment += BUCKET_LENGTH

    def _add(self, cached: _CachedLog, annotations: Mapping[str, Annotation | None]) -> None:
        with self._lock:
            new = {key: annotation for key, annotation in annotations.items() if key not in cached.read_keys}
            cached.read_keys.update(new)
            cached.log.add([annotation for annotation in new.values() if annotation is not None])

    def _read_copy(self, source: str) -> dict[str, Annotation | None]:
        """Return the annotations of the copy, or none if it can't be read: the objects themselves are what counts."""
        try:
            content = gzip.decompress(self._store.get(f"{COPIES}/{source}.jsonl.gz"))
            annotations = [Annotation.model_validate_json(line) for line in content.splitlines()]
        except (ObjectNotFound, OSError, EOFError, zlib.error, ValidationError):
            return {}
        return {_key(annotation): annotation for annotation in annotations}


def _key(annotation: Annotation) -> str:
    return f"{FOLDER}/{annotation.source}/{annotation.id[:BUCKET]}/{annotation.id}.json"

"""Build the projection from the archive: from all segments, or from the segments that the projection lacks.

A rebuild may run while dashboards ingest messages: each frame is counted once, whichever process applies it first.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.resources import files
from itertools import islice
from typing import Final

import structlog
from redis import Redis
from redis.exceptions import LockError, LockNotOwnedError, RedisError
from redis.lock import Lock
from ulid import ULID

from services.dashboard.ingest.archive import DamagedSegment, read_segment, segments
from services.dashboard.ingest.condensing import restore_counts
from services.dashboard.ingest.projector import Projector
from services.dashboard.settings import DashboardSettings
from services.dashboard.store.counting import Counting
from services.dashboard.store.keys import LAYOUT, Keys
from shared.messages import REASON_LENGTH, Message
from shared.storage.port import ObjectNotFound, ObjectStore

BATCH: Final = 200
"""Messages that are applied at once. More messages need more memory and are not faster."""
LEASE_SECONDS: Final = 300
"""Seconds after which another process may build if the building process has not renewed its lease."""

Progress = Callable[[int, int], object]
"""Called during the build with the number of applied segments and the number of all segments to apply."""

_log = structlog.stdlib.get_logger("rebuild")


@dataclass
class Rebuilt:
    """The result of a rebuild."""

    segments: int = 0
    messages: int = 0
    damaged: int = 0
    counted: int = 0
    """Verdicts and explanations that were not counted before."""


class Rebuilder:
    """Builds the projection from the archive."""

    def __init__(
        self, redis: Redis, keys: Keys, settings: DashboardSettings, store: ObjectStore, projector: Projector
    ) -> None:
        """Use a ``projector`` whose updaters send no live events."""
        self._redis = redis
        self._keys = keys
        self._store = store
        self._counting = Counting(redis, keys, settings)
        self._settle_seconds = 3 * settings.segment_seconds
        self._projector = projector
        self._watermark = projector.watermark
        script = files("services.dashboard.store") / "delete_projection.lua"
        self._delete_projection = redis.register_script(script.read_text(encoding="utf-8"))

    @property
    def built(self) -> bool:
        """Whether the projection was built from the archive; False if Redis is new or was emptied."""
        return self._redis.get(self._keys.built) == LAYOUT

    @property
    def outdated(self) -> bool:
        """Whether the projection has the layout of another version of the dashboard."""
        return self._redis.get(self._keys.built) not in (None, LAYOUT)

    def build(self, progress: Progress | None = None, *, from_nothing: bool = False) -> Rebuilt | None:
        """Apply the segments that the projection lacks, newest first; return None if another process is doing so.

        If ``from_nothing``, delete the projection first. Otherwise verdicts older than `seen_days` would be counted
        again if their segments have no marks.

        Raises:
            StorageError, redis.exceptions.RedisError: the projection is not complete; build again.
        """
        if not from_nothing and self.built and not self._missing():
            return Rebuilt()
        lease = self._redis.lock(self._keys.building, timeout=LEASE_SECONDS, thread_local=False)
        while lease.acquire(blocking=False):
            try:
                if from_nothing:
                    self._delete_projection(
                        keys=[self._keys.generation],
                        args=[f"{self._keys.prefix}:*", self._keys.building, self._keys.access, str(ULID())],
                    )
                return self._build(lease, progress)
            except LockNotOwnedError:
                _log.warning("Redis was emptied, or another process took over, during a rebuild; beginning again")
                from_nothing = False  # the segments that were applied since are marked
            finally:
                with suppress(LockError, RedisError):
                    lease.release()
        return None

    def _build(self, lease: Lock, progress: Progress | None) -> Rebuilt:
        """Apply the missing segments and the counts of condensed days, and mark the projection as built."""
        found = self._apply_missing(lease, progress)
        if not self.built:
            restore_counts(self._store, self._counting)
        self._redis.set(self._keys.built, LAYOUT)
        try:
            lease.reacquire()
        except LockNotOwnedError:
            self._redis.delete(self._keys.built)  # Redis may have been emptied before the mark was set
            raise
        return found

    def _apply_missing(self, lease: Lock, progress: Progress | None) -> Rebuilt:
        """Apply segments until a listing shows no new ones, or only segments that were written during the build.

        The process that writes a segment marks it, unless Redis lost a batch of it. So the last listing must contain
        all that was applied before the first one, and none of its segments may be merged while they are read.
        """
        found, damaged, done = Rebuilt(), set[str](), 0
        settled = False
        while missing := [key for key in self._missing() if key not in damaged]:
            keys, of, before = iter(missing), done + len(missing), found.segments + len(damaged)
            while read := self._apply_some(lease, keys, found, damaged):
                done += read
                if progress:
                    progress(done, of)
            merged = found.segments + len(damaged) < before + len(missing)
            if settled and not merged:
                break
            time.sleep(self._settle_seconds)
            settled = True
        found.damaged = len(damaged)
        return found

    def _missing(self) -> list[str]:
        """Return the segments that the projection lacks, newest first."""
        marked = self._watermark.marked_segments()
        archived = segments(self._store)
        self._watermark.prune(marked.difference(archived))
        return [key for key in reversed(archived) if key not in marked]

    def _apply_some(self, lease: Lock, keys: Iterator[str], found: Rebuilt, damaged: set[str]) -> int:
        """Apply the next segments and mark the complete ones; return how many were read.

        Segments are read until they have about `BATCH` messages together, because applying few messages takes as many
        commands of Redis as applying many.
        """
        read, complete = list[str](), list[str]()

        def replay() -> None:
            messages = self._messages(keys, read, complete, damaged)
            while batch := list(islice(messages, BATCH)):
                lease.reacquire()
                applied = self._projector.apply_valid(batch)
                found.counted += applied.counted
                found.messages += len(batch) - len(applied.rejected)
                for error in applied.rejected.values():
                    _log.error("skipped a message of the archive", reason=str(error)[:REASON_LENGTH], near=read[-1])

        batch = self._watermark.apply(replay)
        lease.reacquire()
        if complete:
            self._watermark.mark(complete, [batch])
        found.segments += len(complete)
        return len(read)

    def _messages(
        self, keys: Iterator[str], read: list[str], complete: list[str], damaged: set[str]
    ) -> Iterator[Message]:
        """Yield the messages of the next segments, about `BATCH`, and add the keys of these segments to the lists."""
        count = 0
        for key in keys:
            read.append(key)
            try:
                for message in read_segment(self._store, key):
                    count += 1
                    yield message
            except ObjectNotFound:
                continue  # it was merged into another segment, which the next listing shows
            except DamagedSegment as error:
                _log.error("skipped the rest of a segment of the archive", reason=str(error))
                damaged.add(key)
            else:
                complete.append(key)
            if count >= BATCH:
                return

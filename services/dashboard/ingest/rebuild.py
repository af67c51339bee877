"""Making the projection again from the archive: all of it, or the segments that it has lost.

It may run while dashboards count: each frame is counted once, whichever process applies it first.
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
from services.dashboard.ingest.projector import Projector
from services.dashboard.settings import DashboardSettings
from services.dashboard.store.keys import LAYOUT, Keys
from shared.messages import REASON_LENGTH, Message
from shared.storage.port import ObjectNotFound, ObjectStore

BATCH: Final = 1_000
LEASE_SECONDS: Final = 300
"""How long another process waits for one that builds and says nothing."""

Progress = Callable[[int, int], object]
"""Told now and then: how many segments are done, of how many."""

_log = structlog.stdlib.get_logger("rebuild")


@dataclass
class Rebuilt:
    """What a rebuild found."""

    segments: int = 0
    messages: int = 0
    damaged: int = 0
    counted: int = 0
    """Verdicts and explanations that were not counted before."""


class Rebuilder:
    """Fills the projection from the archive."""

    def __init__(
        self, redis: Redis, keys: Keys, settings: DashboardSettings, store: ObjectStore, projector: Projector
    ) -> None:
        """``projector``: one that announces nothing."""
        self._redis = redis
        self._keys = keys
        self._store = store
        self._settle_seconds = 3 * settings.segment_seconds
        self._projector = projector
        self._watermark = projector.watermark
        script = files("services.dashboard.store") / "forget.lua"
        self._forget = redis.register_script(script.read_text(encoding="utf-8"))

    @property
    def built(self) -> bool:
        """Whether the projection was filled from the archive; False in a Redis that is new or was emptied."""
        return self._redis.get(self._keys.built) == LAYOUT

    @property
    def outdated(self) -> bool:
        """Whether another version of the dashboard made the projection, and laid it out in another way."""
        return self._redis.get(self._keys.built) not in (None, LAYOUT)

    def build(self, progress: Progress | None = None, *, from_nothing: bool = False) -> Rebuilt | None:
        """Read what the projection lacks of the archive, newest first; None when another process is at it.

        ``from_nothing``: forget everything first. Without it, what is known must be younger than what is recognised as
        seen, or it would be counted again.

        Raises:
            StorageError, redis.exceptions.RedisError: it is not complete; build again.
        """
        if not from_nothing and self.built and not self._missing():
            return Rebuilt()
        lease = self._redis.lock(self._keys.building, timeout=LEASE_SECONDS, thread_local=False)
        while lease.acquire(blocking=False):
            try:
                if from_nothing:
                    self._forget(
                        keys=[self._keys.generation],
                        args=[f"{self._keys.prefix}:*", self._keys.building, self._keys.access, str(ULID())],
                    )
                return self._build(lease, progress)
            except LockNotOwnedError:
                _log.warning("Redis was emptied, or another process took over, during a rebuild; beginning again")
                from_nothing = False  # what was applied since is marked
            finally:
                with suppress(LockError, RedisError):
                    lease.release()
        return None

    def _build(self, lease: Lock, progress: Progress | None) -> Rebuilt:
        found = self._read_all(lease, progress)
        self._redis.set(self._keys.built, LAYOUT)
        try:
            lease.reacquire()
        except LockNotOwnedError:
            self._redis.delete(self._keys.built)  # it may have been emptied before it was set
            raise
        return found

    def _read_all(self, lease: Lock, progress: Progress | None) -> Rebuilt:
        """Until a listing shows nothing new, or only what lines that run have written meanwhile.

        Whoever writes a segment marks it, unless Redis lost a batch of it. So the last listing is one that has what was
        applied before the first one, and whose segments nobody merged while they were read.
        """
        found, damaged, done = Rebuilt(), set[str](), 0
        settled = False
        while missing := [key for key in self._missing() if key not in damaged]:
            keys, of, before = iter(missing), done + len(missing), found.segments + len(damaged)
            while read := self._read(lease, keys, found, damaged):
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
        """The segments that the projection lacks, newest first."""
        marked = self._watermark.marked()
        archived = segments(self._store)
        self._watermark.prune(marked.difference(archived))
        return [key for key in reversed(archived) if key not in marked]

    def _read(self, lease: Lock, keys: Iterator[str], found: Rebuilt, damaged: set[str]) -> int:
        """Apply the next segments, about a batch of messages, and mark those that are whole; how many were read.

        Most segments hold a few messages, and applying few takes as many commands as applying many.
        """
        read, whole = list[str](), list[str]()

        def replay() -> None:
            messages = self._messages(keys, read, whole, damaged)
            while batch := list(islice(messages, BATCH)):
                lease.reacquire()
                applied = self._projector.apply_valid(batch)
                found.counted += applied.counted
                found.messages += len(batch) - len(applied.rejected)
                for error in applied.rejected.values():
                    _log.error("passed over a message of the archive", reason=str(error)[:REASON_LENGTH], near=read[-1])

        batch = self._watermark.apply(replay)
        lease.reacquire()
        if whole:
            self._watermark.mark(whole, [batch])
        found.segments += len(whole)
        return len(read)

    def _messages(self, keys: Iterator[str], read: list[str], whole: list[str], damaged: set[str]) -> Iterator[Message]:
        """The messages of the next segments, until there are enough for a batch."""
        count = 0
        for key in keys:
            read.append(key)
            try:
                for message in read_segment(self._store, key):
                    count += 1
                    yield message
            except ObjectNotFound:
                continue  # merged into another, which the next listing shows
            except DamagedSegment as error:
                _log.error("passed over the rest of a segment of the archive", reason=str(error))
                damaged.add(key)
            else:
                whole.append(key)
            if count >= BATCH:
                return

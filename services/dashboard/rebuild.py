"""Making the projection again from the archive.

It may run while dashboards count: each frame is counted once, whoever comes first.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from itertools import islice
from typing import Final

import structlog
from redis import Redis

from services.dashboard.archive import DamagedSegment, read_segment, segments
from services.dashboard.handler import Handler
from services.dashboard.projection import LAYOUT, Keys
from services.dashboard.settings import DashboardSettings
from shared.storage.port import ObjectNotFound, ObjectStore

BATCH: Final = 1_000
LEASE_SECONDS: Final = 300
"""How long another process waits for one that builds and says nothing."""

Progress = Callable[[int, int], None]
"""Told after each segment: how many are done, of how many."""

_log = structlog.stdlib.get_logger("rebuild")


@dataclass
class Rebuilt:
    """What a rebuild found."""

    segments: int = 0
    messages: int = 0
    damaged: int = 0


class Rebuilder:
    """Fills the projection from the archive."""

    def __init__(self, redis: Redis, keys: Keys, settings: DashboardSettings, store: ObjectStore) -> None:
        self._redis = redis
        self._keys = keys
        self._store = store
        self._settle_seconds = 3 * settings.segment_seconds
        self._handler = Handler(redis, keys, settings, live=False)
        script = files("services.dashboard") / "forget.lua"
        self._forget = redis.register_script(script.read_text(encoding="utf-8"))

    @property
    def built(self) -> bool:
        """Whether the projection holds what the archive holds; False in a Redis that is new or was emptied."""
        return self._redis.get(self._keys.built) == LAYOUT

    @property
    def outdated(self) -> bool:
        """Whether another version of the dashboard made the projection, and laid it out in another way."""
        return self._redis.get(self._keys.built) not in (None, LAYOUT)

    def build(self, progress: Progress | None = None, *, from_nothing: bool = False) -> Rebuilt | None:
        """Read the whole archive, newest first; None when another process is at it.

        ``from_nothing``: forget everything first. Without it, what is known must be younger than what is recognised as
        seen, or it would be counted again.

        Raises:
            StorageError, redis.exceptions.RedisError: it is not complete; build again.
        """
        if not self._redis.set(self._keys.building, "1", nx=True, ex=LEASE_SECONDS):
            return None
        try:
            if from_nothing:
                self._clear()
            found = self._read_all(progress)
            self._redis.set(self._keys.built, LAYOUT)
        finally:
            self._redis.delete(self._keys.building)
        return found

    def _clear(self) -> None:
        self._forget(args=[f"{self._keys.prefix}:*", self._keys.building, self._keys.access])

    def _read_all(self, progress: Progress | None) -> Rebuilt:
        """Until a listing shows nothing new: others may be writing, or merging segments under our hands."""
        found, done = Rebuilt(), set[str]()
        while new := [key for key in reversed(segments(self._store)) if key not in done]:
            of = len(done) + len(new)
            for key in new:
                self._read(key, found)
                done.add(key)
                if progress:
                    progress(len(done), of)
            time.sleep(self._settle_seconds)
        return found

    def _read(self, key: str, found: Rebuilt) -> None:
        messages = read_segment(self._store, key)
        try:
            while batch := list(islice(messages, BATCH)):
                self._redis.expire(self._keys.building, LEASE_SECONDS)
                self._handler.apply(batch)
                found.messages += len(batch)
            found.segments += 1
        except ObjectNotFound:
            return  # merged into another, which the next listing shows
        except DamagedSegment as error:
            found.damaged += 1
            _log.error("passed over the rest of a segment of the archive", reason=str(error))

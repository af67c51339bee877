"""The watermark: which segments of the archive the projection holds, as marks in Redis.

Redis may come back older than it was: it writes its own log once a second, and a backup may be restored. It loses its
newest writes then, and keeps all older ones. So a mark is written after what it stands for: where the mark is left, so
is the rest. A segment without a mark is applied again, and each of its frames is counted once all the same.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from typing import Final, cast

import structlog
from pydantic import AwareDatetime, BaseModel, Field
from redis import Redis
from redis import exceptions as errors
from ulid import ULID

from services.dashboard.store.keys import Keys

BATCH_SECONDS: Final = 86_400
"""How long the mark of a batch waits for its segment. Later, the segment is applied again."""
PRUNED_AFTER: Final = timedelta(hours=1)
"""Age at which a mark goes whose segment is gone: a merged segment is marked before it is written."""
PORTION: Final = 1_000
"""Marks that one command names."""

_log = structlog.stdlib.get_logger("watermark")


class Restored(BaseModel):
    """Frames that Redis had lost and that were counted again from the archive."""

    at: AwareDatetime
    frames: int = Field(ge=0, description="verdicts and explanations that were missing")


class Watermark:
    """The marks in Redis."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys
        self._written = deque[tuple[str, Sequence[str]]]()
        scripts = files("services.dashboard.ingest")
        self._mark = redis.register_script((scripts / "mark.lua").read_text(encoding="utf-8"))
        self._mark_merged = redis.register_script((scripts / "mark_merged.lua").read_text(encoding="utf-8"))

    def life(self) -> str:
        """A name of the present run of Redis and of the present projection in it; it changes with either."""
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.info("server")
        pipeline.get(self._keys.generation)
        run, generation = pipeline.execute(raise_on_error=False)
        if isinstance(run, errors.ConnectionError | errors.TimeoutError):
            raise run
        # an embedded Redis has no INFO, and ends with this process
        return f"{'' if isinstance(run, Exception) else run['run_id']}/{generation}"

    def apply(self, apply: Callable[[], object], batch: str | None = None) -> str:
        """Apply a batch and mark that it was applied; returns the name of the batch.

        Raises:
            redis.exceptions.RedisError: some of it may be applied; apply all of it again.
        """
        before, batch = self.life(), batch or str(ULID())
        apply()
        self._redis.set(self._keys.applied(batch), "1", ex=BATCH_SECONDS)
        if self.life() != before:
            raise errors.ConnectionError("Redis started again, or was emptied, while a batch was applied")
        return batch

    def note_written(self, segment: str, batches: Sequence[str]) -> None:
        """Remember that a segment is in object storage; `mark_written` marks it."""
        self._written.append((segment, batches))

    def mark_written(self) -> bool:
        """Mark the segments that this process wrote; False when Redis has lost a batch of one of them."""
        whole = True
        while self._written:
            segment, batches = self._written[0]
            whole = self.mark([segment], batches) and whole
            self._written.popleft()
        return whole

    def mark(self, segments: Sequence[str], batches: Sequence[str]) -> bool:
        """Mark segments, if Redis still has what was applied of them."""
        keys = [self._keys.segments, *(self._keys.applied(batch) for batch in batches)]
        return bool(self._mark(keys=keys, args=segments))

    def mark_merged(self, parts: Sequence[str], into: str) -> None:
        """Mark a segment that is about to be merged, if all of its parts are marked."""
        self._mark_merged(keys=[self._keys.segments], args=[into, *parts])

    def marked(self) -> set[str]:
        """The segments that the projection holds."""
        return cast("set[str]", self._redis.smembers(self._keys.segments))

    def prune(self, gone: Iterable[str]) -> None:
        """Remove old marks of segments that are gone from the archive."""
        old = [segment for segment in gone if datetime.now(UTC) - _written_at(segment) > PRUNED_AFTER]
        for start in range(0, len(old), PORTION):
            self._redis.srem(self._keys.segments, *old[start : start + PORTION])

    def note_restored(self, frames: int) -> None:
        """Remember that frames were missing and were counted again."""
        told = Restored(at=datetime.now(UTC), frames=frames)
        self._redis.set(self._keys.restored, told.model_dump_json())

    def restored(self) -> Restored | None:
        """The last time that frames were missing; None when none ever were."""
        text = cast("str | None", self._redis.get(self._keys.restored))
        return Restored.model_validate_json(text) if text else None


def _written_at(segment: str) -> datetime:
    """A segment's name ends with a ULID."""
    try:
        return ULID.from_str(segment.partition(".")[0].rpartition("-")[2]).datetime
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)

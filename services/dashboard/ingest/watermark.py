"""The watermark: marks in Redis that say which segments of the archive the projection holds.

Redis may lose its newest writes, because it writes its log once a second, and a backup may be restored. So a mark is
written after the messages of its segment: if the mark exists, the messages were applied. A segment without a mark is
applied again, and each of its frames is still counted once.
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
"""Lifetime of the mark of a batch in seconds. If its segment is written later, the segment is applied again."""
PRUNED_AFTER: Final = timedelta(hours=1)
"""Age from which the mark of a missing segment is removed. A merged segment is marked before it is written."""
PORTION: Final = 1_000
"""Most marks in one command of Redis."""

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

    def projection_id(self) -> str:
        """Return an id of the present projection; it changes if Redis is restarted, or the projection deleted."""
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.info("server")
        pipeline.get(self._keys.generation)
        run, generation = pipeline.execute(raise_on_error=False)
        if isinstance(run, errors.ConnectionError | errors.TimeoutError):
            raise run
        # an embedded Redis has no INFO, and ends with this process
        return f"{'' if isinstance(run, Exception) else run['run_id']}/{generation}"

    def apply(self, apply: Callable[[], object], batch: str | None = None) -> str:
        """Call ``apply``, mark the batch as applied, and return the name of the batch.

        Raises:
            redis.exceptions.RedisError: a part of the batch may be applied; apply all of it again.
        """
        before, batch = self.projection_id(), batch or str(ULID())
        apply()
        self._redis.set(self._keys.applied(batch), "1", ex=BATCH_SECONDS)
        if self.projection_id() != before:
            raise errors.ConnectionError("Redis started again, or was emptied, while a batch was applied")
        return batch

    def note_written(self, segment: str, batches: Sequence[str]) -> None:
        """Note that a segment is in object storage; `mark_written` marks it."""
        self._written.append((segment, batches))

    def mark_written(self) -> bool:
        """Mark the segments that this process has written; return False if Redis has lost a mark of their batches."""
        whole = True
        while self._written:
            segment, batches = self._written[0]
            whole = self.mark([segment], batches) and whole
            self._written.popleft()
        return whole

    def mark(self, segments: Sequence[str], batches: Sequence[str]) -> bool:
        """Mark segments if Redis has the marks of all ``batches``; return whether it has."""
        keys = [self._keys.segments, *(self._keys.applied(batch) for batch in batches)]
        return bool(self._mark(keys=keys, args=segments))

    def mark_merged(self, merged: Sequence[str], into: str) -> None:
        """Mark a merged segment before it is written, if all segments in it are marked."""
        self._mark_merged(keys=[self._keys.segments], args=[into, *merged])

    def marked_segments(self) -> set[str]:
        """Return the segments that the projection holds."""
        return cast("set[str]", self._redis.smembers(self._keys.segments))

    def prune(self, deleted: Iterable[str]) -> None:
        """Remove the old marks of segments that were deleted from the archive."""
        old = [segment for segment in deleted if datetime.now(UTC) - written_at(segment) > PRUNED_AFTER]
        for start in range(0, len(old), PORTION):
            self._redis.srem(self._keys.segments, *old[start : start + PORTION])

    def note_restored(self, frames: int) -> None:
        """Store that frames were missing, and were counted again."""
        restored = Restored(at=datetime.now(UTC), frames=frames)
        self._redis.set(self._keys.restored, restored.model_dump_json())

    def last_restoration(self) -> Restored | None:
        """Return when frames were last counted again, and how many; None if this never happened."""
        text = cast("str | None", self._redis.get(self._keys.restored))
        return Restored.model_validate_json(text) if text else None


def written_at(segment: str) -> datetime:
    """Return the time in the ULID at the end of a segment's name."""
    try:
        return ULID.from_str(segment.partition(".")[0].rpartition("-")[2]).datetime
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)

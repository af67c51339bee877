"""Condense old days of the archive: remove verdicts, explanations, decisions and camera reports, and store counts.

The counts of a condensed day are stored as ``counts/<day>.json.gz``. A rebuild of the projection applies the remaining
messages, and then raises the counts to the stored ones. The last verdict and the last report of each camera session
remain in each day, because the numbers of captured and dropped frames are computed from them.
"""

from __future__ import annotations

import gzip
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, Final

import structlog
from pydantic import BaseModel, Field
from pydantic_core import from_json
from ulid import ULID

from services.dashboard.ingest.archive import CONTENT_TYPE, FOLDER, DamagedSegment, lines_of, segments
from services.dashboard.ingest.watermark import Watermark
from services.dashboard.store.counting import CountedBucket, Counting
from shared.storage.port import ObjectNotFound, ObjectStore

COUNTS: Final = "counts"
CONDENSED: Final = "condensed-"
"""Prefix of the file name of the segment of a condensed day, which has only one."""

_DAY: Final = re.compile(rf"{FOLDER}/(\d{{4}}-\d\d-\d\d)/")

_log = structlog.stdlib.get_logger("condensing")


class StoredSlice(BaseModel):
    """The time in which a slice of a line had frames; a slice is ``camera=…``, ``batch=…`` or ``model=…``."""

    line: str
    part: str
    first: float = Field(description="capture of its first frame, in Unix time")
    last: float = Field(description="capture of its last frame, in Unix time")


class StoredCounts(BaseModel):
    """The counts of all buckets and slices in which messages of one day of the archive are counted."""

    buckets: list[CountedBucket] = []
    slices: list[StoredSlice] = []

    def completed_by(self, other: StoredCounts) -> StoredCounts:
        """Return these counts, and the counts of buckets and slices that only ``other`` has."""
        buckets = {bucket.place: bucket for bucket in (*other.buckets, *self.buckets)}
        slices = {(each.line, each.part): each for each in (*other.slices, *self.slices)}
        return StoredCounts(buckets=list(buckets.values()), slices=list(slices.values()))


@dataclass
class _Condensed:
    """The messages of a day that remain, as lines of JSON, and the buckets in which the removed ones are counted."""

    kept: dict[bytes, None] = field(default_factory=dict)
    last: dict[tuple[str, str], tuple[int, bytes]] = field(default_factory=dict)
    """(number, line of JSON) of the newest message, by type of message and camera session.

    The number is the sequence of a verdict's frame, or the number of captured frames in a report.
    """
    places: set[tuple[str, str, date]] = field(default_factory=set)
    """Buckets of the removed messages: production line, slice and day of capture."""
    removed: int = 0

    def add(self, line: bytes) -> None:
        message = _fields(line)
        match message.get("type"):
            case "FrameInspected":
                self._count(message["frame"], message["model_version"])
                session, _, sequence = message["frame"]["frame_id"].partition("-")
                self._keep_last("FrameInspected", session, int(sequence), line)
            case "PartDecided":
                self._count(message["frame"], *message["model_versions"])
                self.removed += 1
            case "FrameExplained":
                self._note_places(message["frame"], [""])
                self.removed += 1
            case "CameraReported":
                self._keep_last("CameraReported", message["session"], message["captured"], line)
            case _:
                self.kept[line] = None

    def _count(self, frame: Mapping[str, Any], *versions: str) -> None:
        slices = ["", f"camera={frame['camera']}", *(f"model={version}" for version in versions)]
        self._note_places(frame, [*slices, f"batch={frame['batch']}"] if frame["batch"] else slices)

    def _note_places(self, frame: Mapping[str, Any], slices: Iterable[str]) -> None:
        day = datetime.fromisoformat(frame["captured_at"]).astimezone(UTC).date()
        self.places.update((frame["line"], part, day) for part in slices)

    def _keep_last(self, kind: str, session: str, number: int, line: bytes) -> None:
        before = self.last.get((kind, session))
        if before is None or number >= before[0]:
            self.last[kind, session] = number, line
        self.removed += before is not None

    @property
    def lines(self) -> Iterator[bytes]:
        yield from self.kept
        for _, line in self.last.values():
            yield line


class Condenser:
    """Condenses days of the archive whose messages the projection has applied."""

    def __init__(self, store: ObjectStore, watermark: Watermark, counting: Counting) -> None:
        self._store = store
        self._watermark = watermark
        self._counting = counting

    def due(self, before: date) -> dict[date, list[str]]:
        """Return the segments of each day before ``before`` that is not condensed yet."""
        days: dict[date, list[str]] = defaultdict(list)
        for key in segments(self._store):
            if (match := _DAY.match(key)) and (day := date.fromisoformat(match[1])) < before:
                days[day].append(key)
        return {day: keys for day, keys in days.items() if len(keys) > 1 or CONDENSED not in keys[0]}

    def condense(self, day: date, keys: Sequence[str]) -> int | None:
        """Condense a day, and return the number of messages that were removed.

        Return None, and change nothing, if the projection has not applied all segments, or was deleted meanwhile, or if
        a segment is damaged.

        Raises:
            StorageError, redis.exceptions.RedisError: object storage or Redis failed. No count is lost; the day can be
                condensed again.
        """
        projection = self._watermark.projection_id()
        if not self._watermark.marked_segments().issuperset(keys):
            return None
        found = _Condensed()
        try:
            for key in keys:
                for line in lines_of(self._store, key):
                    found.add(line)
        except DamagedSegment as error:
            _log.error("can't condense a day of the archive", day=str(day), reason=str(error))
            return None
        counts = self._counts(found.places)
        if self._watermark.projection_id() != projection or not self._watermark.marked_segments().issuperset(keys):
            return None  # the projection was deleted meanwhile: its counts may not be complete
        counts_key = f"{COUNTS}/{day}.json.gz"
        # an interrupted run may have stored counts of messages that are removed by now
        counts = counts.completed_by(_read_counts(self._store, counts_key))
        self._store.put(counts_key, gzip.compress(counts.model_dump_json().encode()), CONTENT_TYPE)
        into = f"{FOLDER}/{day}/{CONDENSED}{ULID()}.jsonl.gz"
        self._watermark.mark_merged(keys, into)
        self._store.put(into, gzip.compress(b"".join(found.lines)), CONTENT_TYPE)
        for key in keys:
            self._store.delete(key)
        return found.removed

    def _counts(self, places: Iterable[tuple[str, str, date]]) -> StoredCounts:
        counts = StoredCounts()
        for line, part, day in sorted(places):
            start = datetime(day.year, day.month, day.day, tzinfo=UTC)
            counts.buckets += self._counting.buckets_of_day(line, part, start)
            if part and (seen := self._counting.seen(line, part)):
                counts.slices.append(StoredSlice(line=line, part=part, first=seen[0], last=seen[1]))
        return counts


def _fields(line: bytes) -> Mapping[str, Any]:
    """Return the fields of a message without validating it, because a day can have millions of messages."""
    try:
        fields = from_json(line)
    except ValueError:
        return {}
    return fields if isinstance(fields, dict) else {}


def restore_counts(store: ObjectStore, counting: Counting) -> None:
    """Raise the counts of the projection to those of the condensed days.

    Raises:
        StorageError, redis.exceptions.RedisError: object storage or Redis failed; the counts can be raised again.
    """
    for key in store.keys(f"{COUNTS}/"):
        counts = _read_counts(store, key)
        counting.restore(counts.buckets)
        for each in counts.slices:
            counting.restore_slice(each.line, each.part, each.first, each.last)


def _read_counts(store: ObjectStore, key: str) -> StoredCounts:
    try:
        return StoredCounts.model_validate_json(gzip.decompress(store.get(key)))
    except ObjectNotFound:
        return StoredCounts()

"""Count frames by line and time, each frame once, however often its verdict arrives.

A bucket holds the frames *captured* in its minute, hour, shift or day, of a line or of one of its slices (a camera, a
batch, a model), so a verdict that arrives late, twice or out of order counts in the right bucket. One Lua script counts
a batch of facts, except those that were counted before. It is atomic, so that an interrupted batch can be counted
again.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from typing import Any, Final, Literal, cast

from pydantic import AwareDatetime, BaseModel, Field
from redis import Redis

from services.dashboard.settings import DashboardSettings
from services.dashboard.statistics.buckets import STAMPS, BucketLength
from services.dashboard.store.connection import read_hash
from services.dashboard.store.keys import Keys
from shared.messages import FrameExplained, FrameIdentity, FrameInspected, PartDecided

CHUNK: Final = 65_536
"""Frames per bitmap of seen frames: 8 KiB at most."""
MOST_BUCKETS: Final = 2_000
"""Added up in one call, which takes a few milliseconds; Redis does nothing else meanwhile."""

RESTORED_AT_ONCE: Final = 200
"""Buckets that are restored in one call."""


@dataclass(frozen=True)
class Fact:
    """A fact about a frame, which is counted once per ``kind``: each field goes up by one."""

    kind: Literal["inspected", "explained", "decided"]
    frame: FrameIdentity
    fields: tuple[str, ...]
    slices: tuple[str, ...] = ()
    """The slices of the line in which it is counted as well: ``camera=…``, ``batch=…``, ``model=…``,
    ``batch-model=…`` with a space between the two."""


class CountedBucket(BaseModel):
    """The counts of one bucket, to be stored apart from Redis."""

    line: str
    part: str = Field(description="slice of the line; empty: the line itself")
    step: str = Field(description="hour, shift or day")
    start: AwareDatetime
    counts: dict[str, int]

    @property
    def place(self) -> tuple[str, str, str, datetime]:
        """Return what names the bucket."""
        return self.line, self.part, self.step, self.start


@dataclass
class Counts:
    """Numbers of frames and parts, in a bucket or in all. The keys of the dictionaries are labels and models."""

    ok: int = 0
    ng: int = 0
    error: int = 0
    flagged: int = 0
    explained: int = 0
    unexplained: int = 0
    """The explainer answered without a heatmap."""
    captured: int = 0
    dropped: int = 0
    unreadable: int = 0
    triggers: int = 0
    missed_triggers: int = 0
    part_ok: int = 0
    part_ng: int = 0
    part_not_inspected: int = 0
    part_unchecked: int = 0
    """Of all parts, those that were decided while a check of the line was due."""
    scored: dict[str, int] = field(default_factory=dict)
    present: dict[str, int] = field(default_factory=dict)
    fault: dict[str, int] = field(default_factory=dict)
    model: dict[str, int] = field(default_factory=dict)

    @property
    def inspected(self) -> int:
        """Return the number of frames with a verdict, errors included."""
        return self.ok + self.ng + self.error

    @property
    def conclusive(self) -> int:
        """Return the number of frames with the verdict ok or NG: the denominator of the defect rate."""
        return self.ok + self.ng

    @property
    def parts(self) -> int:
        """Return the number of parts with a decision."""
        return self.part_ok + self.part_ng + self.part_not_inspected

    @classmethod
    def read(cls, fields: Mapping[str, str | float]) -> Counts:
        """Read the hash of a bucket."""
        counts = cls()
        for name, amount in fields.items():
            kind, _, of = name.partition(":")
            if of:
                getattr(counts, kind)[of] = int(amount)
            else:
                setattr(counts, kind, int(amount))
        return counts

    def add(self, other: Counts) -> None:
        """Add the frames of ``other``."""
        for name, amount in vars(other).items():
            mine = getattr(self, name)
            if isinstance(amount, dict):
                for key, value in amount.items():
                    mine[key] = mine.get(key, 0) + value
            else:
                setattr(self, name, mine + amount)


def fact_of_verdict(verdict: FrameInspected) -> Fact:
    """Return the fact of a verdict."""
    fields = [verdict.verdict.value, f"model:{verdict.model_version}"]
    if verdict.flagged:
        fields.append("flagged")
    for label, finding in verdict.findings.items():
        fields.append(f"scored:{label}")
        if finding.present:
            fields.append(f"present:{label}")
        if finding.fault:
            fields.append(f"fault:{label}")
    return Fact("inspected", verdict.frame, tuple(fields), _slices_of(verdict.frame, [verdict.model_version]))


def fact_of_decision(decision: PartDecided) -> Fact:
    """Return the fact of a decision about a part; it is counted by the part's first frame."""
    slices = _slices_of(decision.frame, decision.model_versions)
    fields = (f"part_{decision.verdict.value}", *(["part_unchecked"] if decision.unchecked else []))
    return Fact("decided", decision.frame, fields, slices)


def _slices_of(frame: FrameIdentity, versions: Sequence[str]) -> tuple[str, ...]:
    batch = [f"batch={frame.batch}"] if frame.batch else []
    batch += [f"batch-model={frame.batch} {version}" for version in versions if frame.batch]
    return (f"camera={frame.camera}", *(f"model={version}" for version in versions), *batch)


def fact_of_explanation(explanation: FrameExplained) -> Fact:
    """Return the fact of an explanation."""
    return Fact("explained", explanation.frame, ("explained" if explanation.heatmaps else "unexplained",))


class Counting:
    """The counts in Redis."""

    def __init__(self, redis: Redis, keys: Keys, settings: DashboardSettings) -> None:
        self._redis = redis
        self._keys = keys
        self._seen_seconds = settings.seen_days * 86_400
        self._shifts = settings.shift_times
        minutes, year = timedelta(hours=settings.minute_hours), timedelta(days=settings.hour_days)
        some_hours = timedelta(days=settings.slice_hour_days)
        whole = _Lifetimes(minute=minutes, hour=year, shift=year, day=None, total=None)
        part = _Lifetimes(minute=minutes, hour=some_hours, shift=year, day=None, total=None)
        self._year = year
        of_batch = replace(part, day=year, total=year)
        self._lifetimes = {"": whole, "camera": part, "model": part, "batch": of_batch, "batch-model": of_batch}
        scripts = files("services.dashboard.store")
        self._count = redis.register_script((scripts / "count.lua").read_text(encoding="utf-8"))
        self._sum = redis.register_script((scripts / "sum.lua").read_text(encoding="utf-8"))
        self._restore = redis.register_script((scripts / "restore.lua").read_text(encoding="utf-8"))

    def count(self, facts: Sequence[Fact]) -> list[bool]:
        """Count each fact that was not counted before; return for each whether it was counted now."""
        if not facts:
            return []
        places, lists = _Numbers(), _Numbers()
        listed = []
        for fact in facts:
            chunk, bit = divmod(fact.frame.sequence, CHUNK)
            seen = self._keys.seen(fact.kind, fact.frame.session, chunk)
            minute = BucketLength.MINUTE.start(fact.frame.captured_at)
            place = places.number_of((fact.frame.line, fact.slices, minute))
            listed.append([seen, bit, place, lists.number_of(fact.fields)])
        now = datetime.now(UTC)
        buckets = [list(self._buckets_of(line, slices, minute, now)) for line, slices, minute in places]
        counted = self._count(args=[self._seen_seconds, *map(_compact, (buckets, list(lists), listed))])
        captured: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        for fact in facts:
            moment = min(fact.frame.captured_at, now)  # a camera whose clock is ahead is not sorted before the others
            if moment > now - self._year:
                for part in fact.slices:
                    captured[fact.frame.line][part].append(moment.timestamp())
        pipeline = self._redis.pipeline(transaction=False)
        for line, parts in captured.items():
            pipeline.zadd(self._keys.slices(line), {part: max(moments) for part, moments in parts.items()}, gt=True)
            pipeline.zadd(self._keys.began(line), {part: min(moments) for part, moments in parts.items()}, lt=True)
            for key in (self._keys.slices(line), self._keys.began(line)):
                pipeline.zremrangebyscore(key, 0, (now - self._year).timestamp())
        pipeline.execute()
        return [bool(first) for first in counted]

    def total(self, line: str, part: str = "") -> Counts:
        """Return all counts of a line, or of one of its slices."""
        return Counts.read(read_hash(self._redis, self._keys.total(_of(line, part))))

    def buckets(self, line: str, step: BucketLength, starts: Iterable[datetime], part: str = "") -> list[Counts]:
        """Return the counts of buckets of a line, or of one of its slices."""
        return self.sums([[self.key(line, step.value, start, part)] for start in starts])

    def key(self, line: str, step: str, start: datetime, part: str = "") -> str:
        """Return the key of the bucket that begins at ``start``; ``step`` is a `BucketLength`, or ``shift``."""
        return self._keys.bucket(_of(line, part), step, start.strftime(STAMPS[step]))

    def sums(self, groups: Sequence[Sequence[str]], fields: Sequence[str] = ()) -> list[Counts]:
        """Return the sum of each group of buckets, added up in Redis.

        Args:
            groups: keys of `key`; a bucket that does not exist counts nothing.
            fields: only these fields; none: all of them.
        """
        portions: list[list[Sequence[str]]] = [[]]
        for group in groups:
            if portions[-1] and sum(map(len, portions[-1])) + len(group) > MOST_BUCKETS:
                portions.append([])
            portions[-1].append(group)
        sums: list[Counts] = []
        for portion in filter(None, portions):
            answer = self._sum(args=[_compact(portion), _compact(list(fields))])
            sums.extend(Counts.read(dict(found)) for found in json.loads(answer))  # an empty one may come as []
        return sums

    def slices(self, line: str, kind: str, most: int = 200) -> list[str]:
        """Return the names of the cameras, batches or models of a line, the one with the newest frame first."""
        members = cast("list[str]", self._redis.zrevrange(self._keys.slices(line), 0, -1))
        names = [name for member in members for of, _, name in [member.partition("=")] if of == kind]
        return names[:most]

    def seen(self, line: str, part: str) -> tuple[float, float] | None:
        """Return when the first and the last frame of a slice were captured (Unix time); None if there are none."""
        last = self._redis.zscore(self._keys.slices(line), part)
        first = self._redis.zscore(self._keys.began(line), part)
        return None if last is None or first is None else (float(first), float(last))

    def buckets_of_day(self, line: str, part: str, day: datetime) -> list[CountedBucket]:
        """Return the buckets of a line or a slice that begin on a day (UTC) and count any frame."""
        starts = [("day", day), *(("hour", day + timedelta(hours=hour)) for hour in range(24))]
        shift = self._shifts.start(day)
        while shift < day + timedelta(days=1):
            if shift >= day:
                starts.append(("shift", shift))
            shift = self._shifts.after(shift)
        pipeline = self._redis.pipeline(transaction=False)
        for step, start in starts:
            pipeline.hgetall(self.key(line, step, start, part))
        return [
            CountedBucket(line=line, part=part, step=step, start=start, counts=fields)
            for (step, start), fields in zip(starts, pipeline.execute(), strict=True)
            if fields
        ]

    def restore(self, buckets: Iterable[CountedBucket]) -> None:
        """Raise the counts of buckets to stored ones, and the totals with those of days.

        Doing it twice changes nothing. Buckets that would have expired by now are left out.
        """
        now, written = datetime.now(UTC), []
        for bucket in buckets:
            lifetimes = self._lifetimes[bucket.part.partition("=")[0]]
            lifetime = lifetimes.of(bucket.step)
            if lifetime is not None and bucket.start + timedelta(days=1) + lifetime <= now:
                continue
            expiry = bucket.start + timedelta(days=1) + lifetime if lifetime else None
            of_total = bucket.start + timedelta(days=1) + lifetimes.total if lifetimes.total else None
            total = self._keys.total(_of(bucket.line, bucket.part)) if bucket.step == "day" else ""
            key = self.key(bucket.line, bucket.step, bucket.start, bucket.part)
            written.append([key, _unix(expiry), total, _unix(of_total), bucket.counts])
        for first in range(0, len(written), RESTORED_AT_ONCE):
            self._restore(args=[_compact(written[first : first + RESTORED_AT_ONCE]), _unix(now)])

    def restore_slice(self, line: str, part: str, first: float, last: float) -> None:
        """List a slice of a line again, with the times of its first and last frame (Unix time)."""
        if last > (datetime.now(UTC) - self._year).timestamp():
            self._redis.zadd(self._keys.slices(line), {part: last}, gt=True)
            self._redis.zadd(self._keys.began(line), {part: first}, lt=True)

    def _buckets_of(
        self, line: str, slices: tuple[str, ...], minute: datetime, now: datetime
    ) -> Iterator[tuple[str, int]]:
        """Yield the buckets of a frame that have not expired, each with the Unix time of its expiry (0: never)."""
        spans = [(step.value, step.start(minute), step.start(minute) + step.length) for step in BucketLength]
        shift = self._shifts.start(minute)
        spans.append(("shift", shift, self._shifts.after(shift)))
        for part in ("", *slices):
            lifetimes = self._lifetimes[part.partition("=")[0]]
            if lifetimes.total is None or minute + lifetimes.total > now:
                yield self._keys.total(_of(line, part)), _unix(minute + lifetimes.total if lifetimes.total else None)
            for step, start, end in spans:
                lifetime = lifetimes.of(step)
                if lifetime is None or end + lifetime > now:
                    yield self.key(line, step, start, part), _unix(end + lifetime if lifetime else None)


@dataclass(frozen=True)
class _Lifetimes:
    """For how long buckets are stored after their end; None: for ever."""

    minute: timedelta | None
    hour: timedelta | None
    shift: timedelta | None
    day: timedelta | None
    total: timedelta | None

    def of(self, step: str) -> timedelta | None:
        lifetime: timedelta | None = getattr(self, step)
        return lifetime


class _Numbers(dict[Any, int]):
    """Numbers of distinct values, from 1, so that a value that occurs often is sent once."""

    def number_of(self, value: Any) -> int:
        return self.setdefault(value, len(self) + 1)


def _of(line: str, part: str) -> str:
    return f"{line}/{part}" if part else line


def _unix(at: datetime | None) -> int:
    return int(at.timestamp()) if at else 0


def _compact(things: object) -> str:
    return json.dumps(things, separators=(",", ":"))

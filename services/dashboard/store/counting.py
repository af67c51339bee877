"""Counts of frames by line and time, each frame once however often its verdict arrives.

A bucket holds the frames *captured* in its minute, hour, shift or day, of a line or of one of its slices (a camera, a
batch, a model), so a verdict that arrives late, twice or out of order lands where it belongs. One Lua script takes a
batch of facts: for each, was it seen? then count. It runs whole or not at all, so that a batch interrupted anywhere
can be counted again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from typing import Any, Final, Literal, cast

from redis import Redis

from services.dashboard.settings import DashboardSettings
from services.dashboard.statistics.steps import STAMPS, Step
from services.dashboard.store.connection import read_hash
from services.dashboard.store.keys import Keys
from shared.messages import FrameExplained, FrameIdentity, FrameInspected

CHUNK: Final = 65_536
"""Frames per bitmap of seen frames: 8 KiB at most."""
MOST_BUCKETS: Final = 2_000
"""Added up in one call: a few milliseconds, in which Redis counts nothing."""


@dataclass(frozen=True)
class Fact:
    """What is counted about a frame, once per ``kind``: each field goes up by one."""

    kind: Literal["inspected", "explained"]
    frame: FrameIdentity
    fields: tuple[str, ...]
    slices: tuple[str, ...] = ()
    """The parts of the line in which it is counted as well: ``camera=…``, ``batch=…``, ``model=…``."""


@dataclass
class Counts:
    """How many frames, in a bucket or since ever. Labels and models are the keys of the dictionaries."""

    ok: int = 0
    ng: int = 0
    error: int = 0
    flagged: int = 0
    explained: int = 0
    unexplained: int = 0
    """The explainer answered, without a heatmap."""
    captured: int = 0
    dropped: int = 0
    scored: dict[str, int] = field(default_factory=dict)
    present: dict[str, int] = field(default_factory=dict)
    fault: dict[str, int] = field(default_factory=dict)
    model: dict[str, int] = field(default_factory=dict)

    @property
    def inspected(self) -> int:
        """Frames that got a verdict, an error too."""
        return self.ok + self.ng + self.error

    @property
    def conclusive(self) -> int:
        """Frames that were found ok or NG: what a defect rate is of."""
        return self.ok + self.ng

    @classmethod
    def read(cls, fields: Mapping[str, str | float]) -> Counts:
        """From the hash of a bucket."""
        counts = cls()
        for name, amount in fields.items():
            kind, _, of = name.partition(":")
            if of:
                getattr(counts, kind)[of] = int(amount)
            else:
                setattr(counts, kind, int(amount))
        return counts

    def add(self, other: Counts) -> None:
        """Take another's frames in."""
        for name, amount in vars(other).items():
            mine = getattr(self, name)
            if isinstance(amount, dict):
                for key, value in amount.items():
                    mine[key] = mine.get(key, 0) + value
            else:
                setattr(self, name, mine + amount)


def fact_of_verdict(verdict: FrameInspected) -> Fact:
    """What a verdict adds to the counts."""
    fields = [verdict.verdict.value, f"model:{verdict.model_version}"]
    if verdict.flagged:
        fields.append("flagged")
    for label, finding in verdict.findings.items():
        fields.append(f"scored:{label}")
        if finding.present:
            fields.append(f"present:{label}")
        if finding.fault:
            fields.append(f"fault:{label}")
    slices = [f"camera={verdict.frame.camera}", f"model={verdict.model_version}"]
    if verdict.frame.batch:
        slices.append(f"batch={verdict.frame.batch}")
    return Fact("inspected", verdict.frame, tuple(fields), tuple(slices))


def fact_of_explanation(explanation: FrameExplained) -> Fact:
    """What an explanation adds to the counts."""
    return Fact("explained", explanation.frame, ("explained" if explanation.heatmaps else "unexplained",))


class Counting:
    """The counts in Redis."""

    def __init__(self, redis: Redis, keys: Keys, settings: DashboardSettings) -> None:
        self._redis = redis
        self._keys = keys
        self._seen_seconds = settings.seen_days * 86_400
        self._shifts = settings.working_day
        minutes, year = timedelta(hours=settings.minute_hours), timedelta(days=settings.hour_days)
        some_hours = timedelta(days=settings.slice_hour_days)
        whole = _Kept(minute=minutes, hour=year, shift=year, day=None, total=None)
        part = _Kept(minute=minutes, hour=some_hours, shift=year, day=None, total=None)
        self._year = year
        self._kept = {"": whole, "camera": part, "model": part, "batch": replace(part, day=year, total=year)}
        scripts = files("services.dashboard.store")
        self._count = redis.register_script((scripts / "count.lua").read_text(encoding="utf-8"))
        self._sum = redis.register_script((scripts / "sum.lua").read_text(encoding="utf-8"))

    def count(self, facts: Sequence[Fact]) -> list[bool]:
        """Count each fact that was not counted before; says which were counted now."""
        if not facts:
            return []
        places, lists = _Numbers(), _Numbers()
        listed = [self._as_list(fact, places, lists) for fact in facts]
        now = datetime.now(UTC)
        buckets = [list(self._buckets_of(line, slices, minute, now)) for line, slices, minute in places]
        counted = self._count(args=[self._seen_seconds, *map(_compact, (buckets, list(lists), listed))])
        captured: dict[tuple[str, str], list[float]] = {}
        for fact in facts:
            moment = min(fact.frame.captured_at, now)  # a clock that is ahead does not stand before the others
            if moment > now - self._year:
                for part in fact.slices:
                    captured.setdefault((fact.frame.line, part), []).append(moment.timestamp())
        pipeline = self._redis.pipeline(transaction=False)
        for (line, part), moments in captured.items():
            pipeline.zadd(self._keys.slices(line), {part: max(moments)}, gt=True)
            pipeline.zadd(self._keys.began(line), {part: min(moments)}, lt=True)
        for line in {line for line, _ in captured}:
            for key in (self._keys.slices(line), self._keys.began(line)):
                pipeline.zremrangebyscore(key, 0, (now - self._year).timestamp())
        pipeline.execute()
        return [bool(first) for first in counted]

    def total(self, line: str, part: str = "") -> Counts:
        """The counts of a line, or of one of its slices, since ever."""
        return Counts.read(read_hash(self._redis, self._keys.total(_of(line, part))))

    def buckets(self, line: str, step: Step, starts: Iterable[datetime], part: str = "") -> list[Counts]:
        """The counts of some buckets of a line, or of one of its slices."""
        return self.sums([[self.key(line, step.value, start, part)] for start in starts])

    def key(self, line: str, step: str, start: datetime, part: str = "") -> str:
        """Where the counts are that began at ``start``; ``step`` is a `Step`, or ``shift``."""
        return self._keys.bucket(_of(line, part), step, start.strftime(STAMPS[step]))

    def sums(self, groups: Sequence[Sequence[str]], fields: Sequence[str] = ()) -> list[Counts]:
        """The sum of each group of buckets, added up in Redis.

        Args:
            groups: keys of `key`; those that are not there count nothing.
            fields: the only ones that are wanted; none: all of them.
        """
        sums: list[Counts] = []
        for some in _portions(groups):
            told = self._sum(args=[_compact(some), _compact(list(fields))])
            sums.extend(Counts.read(dict(found)) for found in json.loads(told))  # an empty one may come as []
        return sums

    def slices(self, line: str, kind: str, most: int = 200) -> list[str]:
        """The names of the cameras, batches or models of a line, the one with the newest frame first."""
        members = cast("list[str]", self._redis.zrevrange(self._keys.slices(line), 0, -1))
        names = [name for member in members for of, _, name in [member.partition("=")] if of == kind]
        return names[:most]

    def seen(self, line: str, part: str) -> tuple[float, float] | None:
        """When the first and the last frame of a slice were captured (Unix time); None of a slice nobody knows."""
        last = self._redis.zscore(self._keys.slices(line), part)
        first = self._redis.zscore(self._keys.began(line), part)
        return None if last is None or first is None else (float(first), float(last))

    def _as_list(self, fact: Fact, places: _Numbers, lists: _Numbers) -> list[object]:
        chunk, bit = divmod(fact.frame.sequence, CHUNK)
        seen = self._keys.seen(fact.kind, fact.frame.session, chunk)
        minute = Step.MINUTE.start(fact.frame.captured_at)
        return [seen, bit, places.of((fact.frame.line, fact.slices, minute)), lists.of(fact.fields)]

    def _buckets_of(
        self, line: str, slices: tuple[str, ...], minute: datetime, now: datetime
    ) -> Iterator[tuple[str, int]]:
        """The buckets of a frame that are still kept, each with the Unix time at which it goes (0: never)."""
        spans = [(step.value, step.start(minute), step.start(minute) + step.length) for step in Step]
        shift = self._shifts.start(minute)
        spans.append(("shift", shift, self._shifts.after(shift)))
        for part in ("", *slices):
            kept = self._kept[part.partition("=")[0]]
            if kept.total is None or minute + kept.total > now:
                yield self._keys.total(_of(line, part)), _moment(minute + kept.total if kept.total else None)
            for step, start, end in spans:
                lasts = kept.of(step)
                if lasts is None or end + lasts > now:
                    yield self.key(line, step, start, part), _moment(end + lasts if lasts else None)


@dataclass(frozen=True)
class _Kept:
    """How long buckets are kept after their end; None: for ever."""

    minute: timedelta | None
    hour: timedelta | None
    shift: timedelta | None
    day: timedelta | None
    total: timedelta | None

    def of(self, step: str) -> timedelta | None:
        kept: timedelta | None = getattr(self, step)
        return kept


class _Numbers(dict[Any, int]):
    """Things and their numbers, from 1, in the order in which they came: what is said often is sent once."""

    def of(self, thing: Any) -> int:
        return self.setdefault(thing, len(self) + 1)


def _of(line: str, part: str) -> str:
    return f"{line}/{part}" if part else line


def _moment(at: datetime | None) -> int:
    return int(at.timestamp()) if at else 0


def _compact(things: object) -> str:
    return json.dumps(things, separators=(",", ":"))


def _portions(groups: Sequence[Sequence[str]]) -> Iterator[list[Sequence[str]]]:
    """Groups of together about `MOST_BUCKETS`: Redis does nothing else while it adds them up."""
    some: list[Sequence[str]] = []
    for group in groups:
        if some and sum(map(len, some)) + len(group) > MOST_BUCKETS:
            yield some
            some = []
        some.append(group)
    if some:
        yield some

"""Counts of frames by line and time, each frame once however often its verdict arrives.

A bucket holds the frames *captured* in its minute, hour or day, so a verdict that arrives late, twice or out of order
lands where it belongs. One Lua script takes a batch of facts: for each, was it seen? then count. It runs whole or not
at all, so that a batch interrupted anywhere can be counted again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from importlib.resources import files
from typing import Final, Literal

from redis import Redis

from services.dashboard.projection import Keys, read_hash
from services.dashboard.settings import DashboardSettings
from shared.messages import FrameExplained, FrameIdentity, FrameInspected

CHUNK: Final = 65_536
"""Frames per bitmap of seen frames: 8 KiB at most."""


class Step(StrEnum):
    """How long a bucket is."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"

    @property
    def length(self) -> timedelta:
        """From the start of one bucket to the start of the next."""
        return {Step.MINUTE: timedelta(minutes=1), Step.HOUR: timedelta(hours=1), Step.DAY: timedelta(days=1)}[self]

    def start(self, moment: datetime) -> datetime:
        """The start, in UTC, of the bucket that a moment falls into."""
        moment = moment.astimezone(UTC)
        match self:
            case Step.MINUTE:
                return moment.replace(second=0, microsecond=0)
            case Step.HOUR:
                return moment.replace(minute=0, second=0, microsecond=0)
            case Step.DAY:
                return moment.replace(hour=0, minute=0, second=0, microsecond=0)

    def stamp(self, start: datetime) -> str:
        """The bucket's name in a key: ``2026-01-31``, ``2026-01-31T23`` or ``2026-01-31T2359``."""
        return start.strftime({Step.MINUTE: "%Y-%m-%dT%H%M", Step.HOUR: "%Y-%m-%dT%H", Step.DAY: "%Y-%m-%d"}[self])


@dataclass(frozen=True)
class Fact:
    """What is counted about a frame, once per ``kind``: each field goes up by one."""

    kind: Literal["inspected", "explained"]
    frame: FrameIdentity
    fields: tuple[str, ...]


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
    refused: int = 0
    scored: dict[str, int] = field(default_factory=dict)
    present: dict[str, int] = field(default_factory=dict)
    fault: dict[str, int] = field(default_factory=dict)
    model: dict[str, int] = field(default_factory=dict)

    @property
    def judged(self) -> int:
        """Frames that got a verdict, an error too."""
        return self.ok + self.ng + self.error

    @property
    def inspected(self) -> int:
        """Frames that were found ok or NG: what a defect rate is of."""
        return self.ok + self.ng

    @classmethod
    def read(cls, fields: dict[str, str]) -> Counts:
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
    return Fact("inspected", verdict.frame, tuple(fields))


def fact_of_explanation(explanation: FrameExplained) -> Fact:
    """What an explanation adds to the counts."""
    return Fact("explained", explanation.frame, ("explained" if explanation.heatmaps else "unexplained",))


class Counting:
    """The counts in Redis."""

    def __init__(self, redis: Redis, keys: Keys, settings: DashboardSettings) -> None:
        self._redis = redis
        self._keys = keys
        self._seen_seconds = settings.seen_days * 86_400
        self._kept = {
            Step.MINUTE: timedelta(hours=settings.minute_hours),
            Step.HOUR: timedelta(days=settings.hour_days),
            Step.DAY: None,
        }
        self._script = redis.register_script((files("services.dashboard") / "count.lua").read_text(encoding="utf-8"))

    def count(self, facts: Sequence[Fact]) -> list[bool]:
        """Count each fact that was not counted before; says which were counted now."""
        if not facts:
            return []
        now = datetime.now(UTC)
        listed = [self._as_list(fact, now) for fact in facts]
        counted = self._script(args=[self._seen_seconds, json.dumps(listed, separators=(",", ":"))])
        return [bool(first) for first in counted]

    def total(self, line: str) -> Counts:
        """The counts of a line since ever."""
        return Counts.read(read_hash(self._redis, self._keys.total(line)))

    def buckets(self, line: str, step: Step, starts: Iterable[datetime]) -> list[Counts]:
        """The counts of some buckets, in one round trip."""
        pipeline = self._redis.pipeline(transaction=False)
        for start in starts:
            pipeline.hgetall(self._keys.bucket(line, step.value, step.stamp(start)))
        return [Counts.read(fields) for fields in pipeline.execute()]

    def _as_list(self, fact: Fact, now: datetime) -> list[object]:
        chunk, bit = divmod(fact.frame.sequence, CHUNK)
        seen = self._keys.seen(fact.kind, fact.frame.session, chunk)
        return [seen, bit, list(self._buckets_of(fact.frame, now)), fact.fields]

    def _buckets_of(self, frame: FrameIdentity, now: datetime) -> Iterator[tuple[str, int]]:
        """The buckets of a frame that are still kept, each with the Unix time at which it goes (0: never)."""
        yield self._keys.total(frame.line), 0
        for step, kept in self._kept.items():
            start = step.start(frame.captured_at)
            ends = start + step.length + kept if kept else None
            if ends is None or ends > now:
                key = self._keys.bucket(frame.line, step.value, step.stamp(start))
                yield key, int(ends.timestamp()) if ends else 0


def starts_between(step: Step, first: datetime, last: datetime) -> list[datetime]:
    """The starts of the buckets that hold any moment from ``first`` to just before ``last``."""
    starts = []
    start = step.start(first)
    while start < last:
        starts.append(start)
        start += step.length
    return starts

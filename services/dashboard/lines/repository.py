"""The repository of lines in Redis: their names, the last reports of cameras and workers, and the throughput."""

from __future__ import annotations

import json
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from statistics import median
from typing import Final, Generic, Self, TypeVar, cast

from prometheus_client import Gauge
from redis import Redis

from services.dashboard.ingest.projector import Updaters
from services.dashboard.settings import DashboardSettings
from services.dashboard.statistics.buckets import STAMPS
from services.dashboard.store.connection import read_hash
from services.dashboard.store.keys import Keys
from services.dashboard.web.problems import Problem
from shared.language import gettext
from shared.messages import (
    CameraReported,
    CameraState,
    FrameIdentity,
    FrameInspected,
    GatewayReported,
    PartDecided,
    RecipeAnnounced,
    Verdict,
    WorkerReported,
    decode,
)

OUT_OF_ORDER_SECONDS: Final = 15
"""Reports may arrive out of order within this time. An even older report means that the clock was set back."""
WORKER_EXPIRY: Final = timedelta(hours=1)
"""A worker without a report for this time was removed on purpose."""
THROUGHPUT_SECONDS: Final = 10
"""Time over which the frames per second are counted."""
THROUGHPUT_EXPIRY_SECONDS: Final = 60
LATENCY_FRAMES: Final = 100
"""Number of last frames of which the median latency is computed."""

SKEW: Final = Gauge(
    "dashboard_camera_clock_skew_seconds",
    "How far a camera's clock was ahead when its last report arrived; negative: behind, or the report waited",
    ["line", "camera"],
)

M = TypeVar("M", CameraReported, WorkerReported, GatewayReported, FrameInspected, RecipeAnnounced)


@dataclass(frozen=True)
class ReceivedMessage(Generic[M]):
    """A message and its arrival."""

    message: M
    at: datetime
    """The arrival by the dashboard's clock; for a message from the archive, the time in the message."""

    @property
    def skew_seconds(self) -> float:
        """Return the sender's clock minus the dashboard's, at the arrival; negative also if the message was delayed."""
        return (self.message.at - self.at).total_seconds()


@dataclass(frozen=True)
class CameraCounts:
    """The counts of a camera in some time: frames captured, of these dropped, unreadable images, and triggers."""

    captured: int = 0
    dropped: int = 0
    unreadable: int = 0
    triggers: int = 0
    missed_triggers: int = 0

    @classmethod
    def of(cls, report: CameraReported) -> Self:
        """Return the counts of a report."""
        return cls(**{each.name: getattr(report, each.name) for each in fields(cls)})

    def __add__(self, other: CameraCounts) -> CameraCounts:
        return CameraCounts(*(one + more for one, more in zip(astuple(self), astuple(other), strict=True)))


class LineRepository:
    """The names of the lines."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys

    def all(self) -> list[str]:
        """Return the names in alphabetical order."""
        return sorted(cast("set[str]", self._redis.smembers(self._keys.lines)))

    def check(self, line: str) -> None:
        """Check that a line exists.

        Raises:
            Problem: 404: there is no such line.
        """
        if not self._redis.sismember(self._keys.lines, line):
            raise Problem(404, gettext("there is no line %(line)r: GET /api/lines lists the lines", line=line))


class CameraRepository:
    """The last report of each camera, and the counts of each session by hour."""

    def __init__(self, redis: Redis, keys: Keys, settings: DashboardSettings, *, live: bool = True) -> None:
        """``live=False``: for messages of the archive, whose arrival is unknown."""
        self._redis = redis
        self._keys = keys
        self._live = live
        self._seconds = settings.seen_days * 86_400
        scripts = files("services.dashboard.lines")
        self._advance_session = redis.register_script((scripts / "session.lua").read_text(encoding="utf-8"))
        self._store_report = redis.register_script((scripts / "report.lua").read_text(encoding="utf-8"))

    @property
    def updaters(self) -> Updaters:
        return {CameraReported: self.store}

    def store(self, reports: Iterable[CameraReported]) -> None:
        """Store reports; one that is older than the stored report changes nothing."""
        for report in reports:
            self._advance(report, report.at, CameraCounts.of(report))
            arrival = self._arrival(report.at)
            arguments = [report.camera, report.session, report.captured, min(report.at, arrival).timestamp()]
            arguments += [arrival.timestamp(), int(report.state is CameraState.FINISHED), OUT_OF_ORDER_SECONDS]
            arguments += [int(self._live), report.model_dump_json()]
            self._store_report(keys=[self._keys.cameras(report.line)], args=[str(each) for each in arguments])
            if self._live:
                SKEW.labels(report.line, report.camera).set((report.at - arrival).total_seconds())

    def store_frames(self, frames: Iterable[FrameIdentity]) -> None:
        """Raise the captured counts of sessions to the sequence numbers of their frames: reports may lag behind."""
        last: dict[tuple[str, str], FrameIdentity] = {}
        for frame in frames:
            session_and_hour = frame.session, _hour(frame.captured_at)
            if session_and_hour not in last or frame.sequence > last[session_and_hour].sequence:
                last[session_and_hour] = frame
        for frame in last.values():
            self._advance(frame, frame.captured_at, CameraCounts(frame.sequence + 1))

    def of_line(self, line: str) -> list[ReceivedMessage[CameraReported]]:
        """Return the last report of each camera of a line, in the order of their names."""
        entries = [json.loads(text) for _, text in sorted(read_hash(self._redis, self._keys.cameras(line)).items())]
        return [
            ReceivedMessage(
                CameraReported.model_validate_json(entry["report"]), datetime.fromtimestamp(entry["received"], UTC)
            )
            for entry in entries
        ]

    def by_hour(self, line: str, camera: str, first: datetime, last: datetime) -> dict[datetime, CameraCounts]:
        """Return the counts of a camera for each hour (UTC) from ``first`` to before ``last`` that has any."""
        hours: dict[datetime, CameraCounts] = defaultdict(CameraCounts)
        sessions = self._redis.zrangebyscore(self._keys.sessions(line, camera), first.timestamp(), "+inf")
        for session in cast("list[str]", sessions):
            for hour, counts in _counts_by_hour(read_hash(self._redis, self._keys.session(session))):
                if first <= hour < last:
                    hours[hour] = hours[hour] + counts
        return dict(hours)

    def _arrival(self, at: datetime) -> datetime:
        now = datetime.now(UTC)
        return now if self._live else min(at, now)

    def _advance(self, sender: CameraReported | FrameIdentity, at: datetime, counts: CameraCounts) -> None:
        keys = [
            self._keys.session(sender.session),
            self._keys.total(sender.line),
            self._keys.total(f"{sender.line}/camera={sender.camera}"),
            self._keys.lines,
            self._keys.sessions(sender.line, sender.camera),
        ]
        arguments = [*astuple(counts), self._seconds, sender.line, sender.session, _hour(at)]
        arguments += [self._arrival(at).timestamp(), datetime.now(UTC).timestamp()]
        self._advance_session(keys=keys, args=[str(each) for each in arguments])


class WorkerRepository:
    """The last report of each inference worker and explainer."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys

    @property
    def updaters(self) -> Updaters:
        return {WorkerReported: self.store}

    def store(self, reports: Iterable[WorkerReported]) -> None:
        """Store reports that have just arrived."""
        now = datetime.now(UTC).isoformat()
        for report in reports:
            name = f"{report.service}/{report.worker}"
            self._redis.hset(self._keys.workers, name, f"{now} {report.model_dump_json()}")

    def all(self) -> list[ReceivedMessage[WorkerReported]]:
        """Return the last report of each worker of the last hour, in the order of service and name."""
        stored: dict[str, ReceivedMessage[WorkerReported]] = {}
        for name, text in sorted(read_hash(self._redis, self._keys.workers).items()):
            at, _, report = text.partition(" ")
            stored[name] = ReceivedMessage(WorkerReported.model_validate_json(report), datetime.fromisoformat(at))
        expired = [name for name, worker in stored.items() if datetime.now(UTC) - worker.at > WORKER_EXPIRY]
        if expired:
            self._redis.hdel(self._keys.workers, *expired)
        return [worker for name, worker in stored.items() if name not in expired]


class GatewayRepository:
    """The last report of the gateway about each line."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys

    @property
    def updaters(self) -> Updaters:
        return {GatewayReported: self.store}

    def store(self, reports: Iterable[GatewayReported]) -> None:
        """Store reports that have just arrived."""
        now = datetime.now(UTC).isoformat()
        for report in reports:
            self._redis.hset(self._keys.gateways, report.line, f"{now} {report.model_dump_json()}")

    def of_line(self, line: str) -> ReceivedMessage[GatewayReported] | None:
        """Return the last report about a line; None if there is none."""
        text = cast("str | None", self._redis.hget(self._keys.gateways, line))
        if text is None:
            return None
        at, _, report = text.partition(" ")
        return ReceivedMessage(GatewayReported.model_validate_json(report), datetime.fromisoformat(at))


class ThroughputRepository:
    """The last verdicts of each line by their arrival, the verdicts per second, and the latency.

    The clocks of cameras and workers are not used: a wrong one would hide new frames.
    """

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys

    def store(self, verdicts: Sequence[FrameInspected]) -> None:
        """Store verdicts that have just arrived and were counted for the first time."""
        now = time.time()
        pipeline = self._redis.pipeline(transaction=False)
        for line, frames in Counter(verdict.frame.line for verdict in verdicts).items():
            key = self._keys.throughput(line, int(now))
            pipeline.incrby(key, frames)
            pipeline.expire(key, THROUGHPUT_EXPIRY_SECONDS)
            of_line = [verdict for verdict in verdicts if verdict.frame.line == line]
            pipeline.hset(self._keys.last(line), "any", f"{now} {of_line[-1].encode().decode()}")
            if ng := [verdict for verdict in of_line if verdict.verdict is Verdict.NG]:
                pipeline.hset(self._keys.last(line), "ng", f"{now} {ng[-1].encode().decode()}")
            latencies = [str(verdict.latency_ms) for verdict in of_line]
            pipeline.lpush(self._keys.latencies(line), *latencies[-LATENCY_FRAMES:])
            pipeline.ltrim(self._keys.latencies(line), 0, LATENCY_FRAMES - 1)
        pipeline.execute()

    def last(self, line: str) -> tuple[ReceivedMessage[FrameInspected] | None, ReceivedMessage[FrameInspected] | None]:
        """Return the last verdict and the last NG verdict; None if no such verdict arrived since Redis was filled."""
        stored = read_hash(self._redis, self._keys.last(line))
        return _received_verdict(stored.get("any")), _received_verdict(stored.get("ng"))

    def store_decisions(self, decisions: Sequence[PartDecided]) -> None:
        """Store the last decision of each line; the decisions have just arrived and were counted for the first time."""
        for decision in decisions:
            self._redis.hset(self._keys.last(decision.frame.line), "part", decision.encode().decode())

    def last_decision(self, line: str) -> PartDecided | None:
        """Return the decision that arrived last; None if no decision arrived since Redis was filled."""
        text = cast("str | None", self._redis.hget(self._keys.last(line), "part"))
        decision = decode(text.encode()) if text else None
        return decision if isinstance(decision, PartDecided) else None

    def frames_per_second(self, line: str) -> float:
        """Return the verdicts per second over the last whole seconds."""
        last = int(time.time()) - 1
        counts = self._redis.mget([self._keys.throughput(line, last - age) for age in range(THROUGHPUT_SECONDS)])
        return sum(int(count or 0) for count in counts) / THROUGHPUT_SECONDS

    def latency_ms(self, line: str) -> float | None:
        """Return the median latency of the last frames in milliseconds; None if there are no frames."""
        latencies = [float(value) for value in self._redis.lrange(self._keys.latencies(line), 0, -1)]
        return median(latencies) if latencies else None


def _received_verdict(text: str | None) -> ReceivedMessage[FrameInspected] | None:
    if text is None:
        return None
    at, _, body = text.partition(" ")
    verdict = decode(body.encode())
    return (
        ReceivedMessage(verdict, datetime.fromtimestamp(float(at), UTC))
        if isinstance(verdict, FrameInspected)
        else None
    )


def _hour(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime(STAMPS["hour"])


def _counts_by_hour(session: dict[str, str]) -> Iterator[tuple[datetime, CameraCounts]]:
    """Yield how much each hour added to the counts of a session, which are running totals."""
    totals: dict[str, dict[str, int]] = defaultdict(dict)
    for field, amount in session.items():
        name, _, hour = field.partition("@")
        if hour:
            totals[hour][name] = int(amount)
    names = [field.name for field in fields(CameraCounts)]
    reached = dict.fromkeys(names, 0)
    for hour in sorted(totals):
        now = {name: max(reached[name], totals[hour].get(name, 0)) for name in names}
        yield (
            datetime.fromisoformat(f"{hour}:00:00+00:00"),
            CameraCounts(**{name: now[name] - reached[name] for name in names}),
        )
        reached = now

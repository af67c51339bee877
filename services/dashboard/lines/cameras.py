"""Cameras: how far each session has come, and what each camera said last."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any, Final, cast

from prometheus_client import Gauge
from redis import Redis

from services.dashboard.ingest.projector import Appliers
from services.dashboard.settings import DashboardSettings
from services.dashboard.statistics.steps import STAMPS
from services.dashboard.store.connection import read_hash
from services.dashboard.store.keys import Keys
from shared.messages import CameraReported, CameraState, FrameIdentity

OUT_OF_ORDER_SECONDS: Final = 15
"""A report that says to be older than the last one is a late one within this time; after it, a clock was set back."""

SKEW: Final = Gauge(
    "dashboard_camera_clock_skew_seconds",
    "How far a camera's clock was ahead when its last report arrived; negative: behind, or the report waited",
    ["line", "camera"],
)


@dataclass(frozen=True)
class Heard:
    """The last report of a camera."""

    report: CameraReported
    at: datetime
    """Its arrival, by the clock of the dashboard; of one that was read from the archive, its own time."""

    @property
    def skew_seconds(self) -> float:
        """How far the camera's clock was ahead; negative: behind, or the report waited."""
        return (self.report.at - self.at).total_seconds()


@dataclass(frozen=True)
class Taken:
    """Frames of a camera in some time."""

    captured: int = 0
    dropped: int = 0

    def __add__(self, other: Taken) -> Taken:
        return Taken(self.captured + other.captured, self.dropped + other.dropped)


class Cameras:
    """The cameras in Redis."""

    def __init__(self, redis: Redis, keys: Keys, settings: DashboardSettings, *, live: bool = True) -> None:
        """``live``: what is taken in arrives now; otherwise it is read from the archive."""
        self._redis = redis
        self._keys = keys
        self._live = live
        self._seconds = settings.seen_days * 86_400
        scripts = files("services.dashboard.lines")
        self._script = redis.register_script((scripts / "session.lua").read_text(encoding="utf-8"))
        self._report = redis.register_script((scripts / "report.lua").read_text(encoding="utf-8"))

    @property
    def appliers(self) -> Appliers:
        return {CameraReported: self.report}

    def report(self, reports: Iterable[CameraReported]) -> None:
        """Take in what cameras said; a report that is older than what is known changes nothing."""
        for report in reports:
            self._advance(_Word(report.session, report.line, report.camera, report.at), report)
            heard = self._arrival(report.at)
            told = [report.camera, report.session, report.captured, min(report.at, heard).timestamp()]
            told += [heard.timestamp(), int(report.state is CameraState.FINISHED), OUT_OF_ORDER_SECONDS]
            told += [int(self._live), report.model_dump_json()]
            self._report(keys=[self._keys.cameras(report.line)], args=[str(part) for part in told])
            if self._live:
                SKEW.labels(report.line, report.camera).set((report.at - heard).total_seconds())

    def saw(self, frames: Iterable[FrameIdentity]) -> None:
        """Frames have come: their sessions captured at least so many. Reports may lag behind."""
        furthest: dict[tuple[str, str], FrameIdentity] = {}
        for frame in frames:
            place = frame.session, _hour(frame.captured_at)
            if place not in furthest or frame.sequence > furthest[place].sequence:
                furthest[place] = frame
        for frame in furthest.values():
            self._advance(_Word(frame.session, frame.line, frame.camera, frame.captured_at), frame)

    def of_line(self, line: str) -> list[Heard]:
        """The last report of each camera of a line, in the order of their names."""
        known = sorted(read_hash(self._redis, self._keys.cameras(line)).items())
        return [_heard(json.loads(text)) for _, text in known]

    def by_hour(self, line: str, camera: str, first: datetime, last: datetime) -> dict[datetime, Taken]:
        """What a camera took in each hour (UTC) from ``first`` to before ``last``, where it took any."""
        hours: dict[datetime, Taken] = defaultdict(Taken)
        for session in self._sessions(line, camera, first):
            for hour, taken in _differences(read_hash(self._redis, self._keys.session(session))):
                if first <= hour < last:
                    hours[hour] = hours[hour] + taken
        return dict(hours)

    def _sessions(self, line: str, camera: str, since: datetime) -> list[str]:
        known = self._redis.zrangebyscore(self._keys.sessions(line, camera), since.timestamp(), "+inf")
        return cast("list[str]", known)

    def _arrival(self, told: datetime) -> datetime:
        now = datetime.now(UTC)
        return now if self._live else min(told, now)

    def _advance(self, word: _Word, of: CameraReported | FrameIdentity) -> None:
        captured, dropped = (of.captured, of.refused) if isinstance(of, CameraReported) else (of.sequence + 1, 0)
        keys = [
            self._keys.session(word.session),
            self._keys.total(word.line),
            self._keys.total(f"{word.line}/camera={word.camera}"),
            self._keys.lines,
            self._keys.sessions(word.line, word.camera),
        ]
        now = datetime.now(UTC)
        told = [captured, dropped, self._seconds, word.line, word.session, _hour(word.at)]
        told += [self._arrival(word.at).timestamp(), now.timestamp()]
        self._script(keys=keys, args=[str(part) for part in told])


@dataclass(frozen=True)
class _Word:
    """Something was heard of a session."""

    session: str
    line: str
    camera: str
    at: datetime


def _heard(known: dict[str, Any]) -> Heard:
    return Heard(CameraReported.model_validate_json(known["report"]), datetime.fromtimestamp(known["heard"], UTC))


def _hour(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime(STAMPS["hour"])


def _differences(session: dict[str, str]) -> Iterator[tuple[datetime, Taken]]:
    """How much each hour added to a session: what was known at its end, less what was known before it."""
    reached: dict[str, dict[str, int]] = defaultdict(dict)
    for field, amount in session.items():
        name, _, hour = field.partition("@")
        if hour:
            reached[hour][name] = int(amount)
    captured = dropped = 0
    for hour in sorted(reached):
        now = max(captured, reached[hour].get("captured", 0)), max(dropped, reached[hour].get("dropped", 0))
        yield datetime.fromisoformat(f"{hour}:00:00+00:00"), Taken(now[0] - captured, now[1] - dropped)
        captured, dropped = now

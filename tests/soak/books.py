"""The books: what became of every frame, counted from four sources that must agree."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx

from services.dashboard.ingest.archive import read_segment, segments
from services.dashboard.store.connection import open_redis
from services.dashboard.store.counting import Counting
from services.dashboard.store.keys import Keys
from shared.messages import CameraReported, CameraState, FrameExplained, FrameInspected, Message
from shared.storage.port import ObjectStore
from shared.topology import QUEUES
from tests.soak.line import LINE, Line

LAWFUL = ("none of its findings",)
"""Beginnings of the reasons for which a flagged frame may have no heatmap: an outage is none."""


@dataclass
class Archived:
    """What the archive says, each fact once."""

    verdicts: dict[str, FrameInspected] = field(default_factory=dict)
    explanations: dict[str, FrameExplained] = field(default_factory=dict)
    reports: dict[str, CameraReported] = field(default_factory=dict)
    """The last one of each session."""
    disputed: set[str] = field(default_factory=set)
    """Frames with two verdicts that differ."""

    @classmethod
    def read(cls, store: ObjectStore) -> Archived:
        archived = cls()
        for key in segments(store):
            for message in read_segment(store, key):
                archived.add(message)
        return archived

    def add(self, message: Message) -> None:
        if isinstance(message, FrameInspected) and type(message) is FrameInspected:
            known = self.verdicts.setdefault(message.frame.frame_id, message)
            if known.verdict is not message.verdict:
                self.disputed.add(message.frame.frame_id)
        elif isinstance(message, FrameExplained):
            known_heatmaps = self.explanations.get(message.frame.frame_id)
            if known_heatmaps is None or not known_heatmaps.heatmaps:
                self.explanations[message.frame.frame_id] = message
        elif isinstance(message, CameraReported):
            last = self.reports.setdefault(message.session, message)
            self.reports[message.session] = max(last, message, key=_progress)

    @property
    def flagged(self) -> set[str]:
        return {name for name, verdict in self.verdicts.items() if verdict.flagged}


@dataclass
class Books:
    """The totals, and what does not balance."""

    totals: dict[str, int]
    problems: list[str]
    latencies: list[tuple[datetime, float]]
    """Of the cameras' frames: when each was captured, and the milliseconds until it was inspected."""


def close_books(line: Line) -> Books:
    """Count, once everything has come to rest."""
    store = line.store()
    archived = Archived.read(store)
    parked = _parked(line)
    totals = {
        "sessions": len(archived.reports),
        "captured": sum(report.captured for report in archived.reports.values()) + len(line.injected),
        "verdicts": len(archived.verdicts),
        "dropped": sum(report.dropped for report in archived.reports.values()),
        "parked_frames": len(parked),
        "flagged": len(archived.flagged),
        "explained": sum(1 for name in archived.flagged if _has_heatmaps(archived, name)),
        "poisoned": line.poisoned,
    }
    problems = [
        *of_sessions(archived, parked),
        *_of_injected(line, archived, parked),
        *of_explanations(archived),
        *_of_objects(store, archived),
        *_of_redis(line, archived),
        *_of_pages(line, archived, totals),
        *_of_queues(line, parked),
        *(f"{name} has two different verdicts" for name in _few(archived.disputed)),
    ]
    latencies = [
        (verdict.frame.captured_at, verdict.latency_ms)
        for verdict in archived.verdicts.values()
        if verdict.frame.session in archived.reports
    ]
    return Books(totals, problems, latencies)


def of_sessions(archived: Archived, parked: set[str]) -> Iterable[str]:
    """captured = distinct verdicts + dropped + parked, for each run of each camera."""
    inspected, aside = _by_session(archived.verdicts), _by_session(parked - set(archived.verdicts))
    for session, report in archived.reports.items():
        known = inspected[session] + aside[session] + report.dropped
        if known != report.captured or report.waiting:
            yield (
                f"{report.camera} {session} ({report.state}): captured {report.captured}, and {inspected[session]} "
                f"verdicts + {report.dropped} dropped + {aside[session]} parked = {known}; {report.waiting} wait"
            )


def _of_injected(line: Line, archived: Archived, parked: set[str]) -> Iterable[str]:
    lost = [name for name in line.injected if name not in archived.verdicts and name not in parked]
    yield from (f"{name}, which the run published, has no verdict and is not parked" for name in _few(lost))
    sessions = set(archived.reports) | {name[:26] for name in line.injected}
    unknown = [name for name in archived.verdicts if name[:26] not in sessions]
    yield from (f"{name} was inspected, and no camera reported its session" for name in _few(unknown))


def of_explanations(archived: Archived) -> Iterable[str]:
    without = Counter(
        "no explanation" if name not in archived.explanations else archived.explanations[name].reason
        for name in archived.flagged
        if not _has_heatmaps(archived, name)
    )
    for reason, count in without.items():
        if not reason.startswith(LAWFUL):
            yield f"{count} flagged frames without heatmaps: {reason}"


def _of_objects(store: ObjectStore, archived: Archived) -> Iterable[str]:
    """Everything that a message names is there."""
    there = set(store.keys("frames/"))
    named = {verdict.image_key for verdict in archived.verdicts.values() if verdict.image_key}
    for explanation in archived.explanations.values():
        named |= {heatmap.key for heatmap in explanation.heatmaps.values()}
    yield from (f"{key} is named by a message and not in object storage" for key in _few(named - there))


def _of_redis(line: Line, archived: Archived) -> Iterable[str]:
    settings = line.settings()
    counts = Counting(open_redis(settings), Keys(settings.redis_prefix), settings).total(LINE)
    yield from _compare("Redis", {"inspected": counts.inspected, "flagged": counts.flagged}, archived)
    answered = counts.explained + counts.unexplained
    if answered != len(archived.explanations):
        yield f"explanations in Redis: {answered}; in the archive: {len(archived.explanations)}"


def _of_pages(line: Line, archived: Archived, totals: dict[str, int]) -> Iterable[str]:
    for address in line.addresses():
        found: dict[str, Any] = (
            httpx.get(f"{address}/api/lines/{LINE}/accounting", timeout=60, trust_env=False).raise_for_status().json()
        )
        yield from _compare(address, found, archived)
        for name in ("captured", "dropped"):
            if found[name] != totals[name]:
                yield f"{name} at {address}: {found[name]}; by the cameras' reports: {totals[name]}"
        if found["in_flight"]:
            yield f"{found['in_flight']} frames are in flight at {address}"


def _compare(where: str, found: dict[str, Any], archived: Archived) -> Iterable[str]:
    verdicts = Counter(verdict.verdict.value for verdict in archived.verdicts.values())
    wanted = {"inspected": len(archived.verdicts), "flagged": len(archived.flagged), **verdicts}
    for name, count in wanted.items():
        if name in found and found[name] != count:
            yield f"{name} at {where}: {found[name]}; in the archive: {count}"


def _of_queues(line: Line, parked: set[str]) -> Iterable[str]:
    broker = line.broker()
    try:
        for queue in (queue for queue in QUEUES if not queue.name.startswith("gateway.")):  # none runs in the soak
            for name in (queue.name, queue.suspects):
                if left := broker.depth(name).total:
                    yield f"{left} messages are left in {name}"
            aside = broker.depth(queue.parked).total
            expected = line.poisoned + len(parked) if queue.name == "inference.frames" else 0
            if aside != expected:
                yield f"{aside} messages are parked in {queue.name}, and {expected} should be"
    finally:
        broker.close()


def _parked(line: Line) -> set[str]:
    """The frames among the parked messages."""
    answer = httpx.get(f"{line.addresses()[0]}/api/parked", params={"limit": 200}, timeout=60, trust_env=False)
    return {view["frame_id"] for view in answer.raise_for_status().json()["parked"] if view["frame_id"]}


def _progress(report: CameraReported) -> tuple[bool, int, int, datetime]:
    """Orders the reports of a session: segments of two dashboards are not in the order of their messages."""
    return report.state is CameraState.FINISHED, report.captured, -report.waiting, report.at


def _has_heatmaps(archived: Archived, name: str) -> bool:
    return name in archived.explanations and bool(archived.explanations[name].heatmaps)


def _by_session(names: Iterable[str]) -> defaultdict[str, int]:
    found: defaultdict[str, int] = defaultdict(int)
    for name in names:
        found[name[:26]] += 1
    return found


def _few(names: Iterable[str], most: int = 5) -> list[str]:
    return sorted(names)[:most]


def moments(latencies: list[tuple[datetime, float]], began: datetime) -> list[tuple[float, float]]:
    """Latencies by the seconds since the run began."""
    return [((at.astimezone(UTC) - began).total_seconds(), milliseconds) for at, milliseconds in latencies]

"""Apply verdicts, explanations and decisions about parts to frames, to counts, and to the state of their lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from prometheus_client import Counter, Histogram

from services.dashboard.frames.repository import FrameRepository
from services.dashboard.ingest.projector import Updaters
from services.dashboard.lines.repository import CameraRepository, ThroughputRepository
from services.dashboard.store.announcer import Announcer
from services.dashboard.store.counting import Counting, fact_of_decision, fact_of_explanation, fact_of_verdict
from shared.messages import FrameExplained, FrameInspected, PartDecided

COUNTED: Final = Counter("dashboard_verdicts", "Verdicts counted", ["line", "verdict"])
REPEATED: Final = Counter("dashboard_verdicts_repeated", "Verdicts that came again and changed nothing")
PARTS: Final = Counter("dashboard_parts", "Decisions about parts counted", ["line", "verdict"])
DELAY: Final = Histogram(
    "dashboard_capture_to_verdict_seconds",
    "Seconds from the capture of a frame to the verdict on it",
    ["line"],
    buckets=(0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300),
)


class FrameUpdaters:
    """Applies the messages about frames. Each updater returns how many of the messages were not counted before."""

    def __init__(
        self,
        frames: FrameRepository,
        counting: Counting,
        cameras: CameraRepository,
        throughput: ThroughputRepository,
        announcer: Announcer,
    ) -> None:
        self._frames = frames
        self._counting = counting
        self._cameras = cameras
        self._throughput = throughput
        self._announcer = announcer

    @property
    def updaters(self) -> Updaters:
        """The function that applies the messages of each type."""
        return {
            FrameInspected: self._apply_verdicts,
            FrameExplained: self._apply_explanations,
            PartDecided: self._apply_decisions,
        }

    def _apply_verdicts(self, verdicts: Sequence[FrameInspected]) -> int:
        self._frames.store(verdicts)  # before they are counted, so that every counted frame is found
        counted = self._counting.count([fact_of_verdict(verdict) for verdict in verdicts])
        self._cameras.store_frames([verdict.frame for verdict in verdicts])
        if self._announcer.live:  # not while the projection is rebuilt from old messages
            fresh = [verdict for verdict, first in zip(verdicts, counted, strict=True) if first]
            self._throughput.store(fresh)
            self._announcer.announce_frames([verdict.frame for verdict in fresh if verdict.flagged])
            REPEATED.inc(len(verdicts) - len(fresh))
            for verdict in fresh:
                COUNTED.labels(verdict.frame.line, verdict.verdict.value).inc()
                DELAY.labels(verdict.frame.line).observe(verdict.latency_ms / 1000)
        return sum(counted)

    def _apply_explanations(self, explanations: Sequence[FrameExplained]) -> int:
        self._frames.store_explanations(explanations)
        # passed frames are explained on request only, so their explanations are not counted
        counted = self._counting.count([fact_of_explanation(one) for one in explanations if one.flagged])
        self._announcer.announce_frames([explanation.frame for explanation in explanations])
        return sum(counted)

    def _apply_decisions(self, decisions: Sequence[PartDecided]) -> int:
        counted = self._counting.count([fact_of_decision(decision) for decision in decisions])
        if self._announcer.live:
            fresh = [decision for decision, first in zip(decisions, counted, strict=True) if first]
            self._throughput.store_decisions(fresh)
            for decision in fresh:
                PARTS.labels(decision.frame.line, decision.verdict.value).inc()
        return sum(counted)

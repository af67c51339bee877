"""Messages in, knowledge out: a table says which part of the projection takes which message."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from prometheus_client import Counter, Histogram
from redis import Redis
from redis.exceptions import DataError

from services.dashboard.frames.repository import FrameIndex
from services.dashboard.ingest.watermark import Watermark
from services.dashboard.lines.cameras import Cameras
from services.dashboard.lines.throughput import Pulse
from services.dashboard.lines.workers import Workers
from services.dashboard.models.moves import Moves
from services.dashboard.models.words import ThresholdWords
from services.dashboard.settings import DashboardSettings
from services.dashboard.store.announcer import Announcer
from services.dashboard.store.counting import Counting, fact_of_explanation, fact_of_verdict
from services.dashboard.store.projection import Keys
from services.dashboard.trainings.repository import Trainings
from shared.messages import (
    CameraReported,
    FrameExplained,
    FrameInspected,
    Message,
    ModelPromoted,
    ModelTrained,
    PromotionRefused,
    PromotionRequested,
    ThresholdsKept,
    ThresholdsRefused,
    ThresholdsRequested,
    TrainingProgressed,
    TrainingRequested,
    WorkerReported,
)

FLEETING: Final = frozenset({WorkerReported})
"""Messages that nobody needs tomorrow: they do not go into the archive."""

COUNTED: Final = Counter("dashboard_verdicts", "Verdicts counted", ["line", "verdict"])
REPEATED: Final = Counter("dashboard_verdicts_repeated", "Verdicts that came again and changed nothing")
DELAY: Final = Histogram(
    "dashboard_capture_to_verdict_seconds",
    "From capture to verdict",
    ["line"],
    buckets=(0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300),
)


UNFIT: Final = (ValueError, ArithmeticError, DataError)
"""What applying a message raises when its content is the cause: it will never succeed."""


class UnwantedMessage(ValueError):
    """A message that has no business with the dashboard."""


@dataclass(frozen=True)
class Applied:
    """What became of a batch."""

    counted: int
    """Verdicts and explanations that were not counted before."""
    unfit: dict[int, Exception] = field(default_factory=dict)
    """The messages that can't be applied, by their place in the batch, and why."""


class Handler:
    """Applies messages to the projection. Applying one again, or out of order, changes nothing."""

    def __init__(self, redis: Redis, keys: Keys, settings: DashboardSettings, *, live: bool = True) -> None:
        """``live``: what is applied happens now. When it is read from the archive, nobody is told and nothing timed."""
        self._live = live
        self.watermark = Watermark(redis, keys)
        self.counting = Counting(redis, keys, settings)
        self.frames = FrameIndex(redis, keys, settings)
        self.cameras = Cameras(redis, keys, settings, live=live)
        self.pulse = Pulse(redis, keys)
        self.workers = Workers(redis, keys)
        self.trainings = Trainings(redis, keys)
        self.moves = Moves(redis, keys)
        self.thresholds = ThresholdWords(redis, keys)
        self.announcer = Announcer(redis, keys)
        self._appliers: dict[type[Message], Callable[[Any], int | None]] = {
            FrameInspected: self._apply_verdicts,
            FrameExplained: self._apply_explanations,
            CameraReported: self.cameras.report,
            WorkerReported: self.workers.report,
            TrainingRequested: self._apply_trainings,
            TrainingProgressed: self._apply_trainings,
            ModelTrained: self._apply_trainings,
            ThresholdsRequested: self._apply_thresholds,
            ThresholdsKept: self._apply_thresholds,
            ThresholdsRefused: self._apply_thresholds,
            PromotionRequested: self._apply_moves,
            PromotionRefused: self._apply_moves,
            ModelPromoted: self._apply_moves,
        }

    def check(self, message: Message) -> None:
        """Say whether a message is one of the dashboard's.

        Raises:
            UnwantedMessage: it is not.
        """
        if type(message) not in self._appliers:
            raise UnwantedMessage(f"{type(message).__name__} is not for the dashboard: see the bindings of its queues")

    def apply(self, messages: Sequence[Message]) -> int:
        """Apply messages, those of one type together; returns how many verdicts and explanations were counted.

        Raises:
            UnwantedMessage: one is not the dashboard's.
            redis.exceptions.RedisError: some may have been applied; apply all of them again.
        """
        for message in messages:
            self.check(message)
        by_type: dict[type[Message], list[Message]] = defaultdict(list)
        for message in messages:
            by_type[type(message)].append(message)
        return sum(self._appliers[kind](group) or 0 for kind, group in by_type.items())

    def apply_fitting(self, messages: Sequence[Message]) -> Applied:
        """Apply messages, and leave out those whose content makes that fail.

        Raises:
            redis.exceptions.RedisError: some may have been applied; apply all of them again.
        """
        try:
            return Applied(self.apply(messages))
        except UNFIT as error:
            if len(messages) == 1:
                return Applied(0, {0: error})
        half = len(messages) // 2
        first, second = self.apply_fitting(messages[:half]), self.apply_fitting(messages[half:])
        late = {half + place: error for place, error in second.unfit.items()}
        return Applied(first.counted + second.counted, {**first.unfit, **late})

    def _apply_verdicts(self, verdicts: Sequence[FrameInspected]) -> int:
        self.frames.keep(verdicts)  # before it is counted: a counted frame can be looked up
        counted = self.counting.count([fact_of_verdict(verdict) for verdict in verdicts])
        self.cameras.saw([verdict.frame for verdict in verdicts])
        if self._live:
            self._tell_of_verdicts(verdicts, counted)
        return sum(counted)

    def _tell_of_verdicts(self, verdicts: Sequence[FrameInspected], counted: Sequence[bool]) -> None:
        fresh = [verdict for verdict, first in zip(verdicts, counted, strict=True) if first]
        self.pulse.beat(fresh)
        self.announcer.frames([verdict.frame for verdict in fresh if verdict.flagged])
        REPEATED.inc(len(verdicts) - len(fresh))
        for verdict in fresh:
            COUNTED.labels(verdict.frame.line, verdict.verdict.value).inc()
            DELAY.labels(verdict.frame.line).observe(verdict.latency_ms / 1000)

    def _apply_explanations(self, explanations: Sequence[FrameExplained]) -> int:
        self.frames.explain(explanations)
        # of the frames that passed, those that people asked about are no part of the line's account
        counted = self.counting.count([fact_of_explanation(one) for one in explanations if one.flagged])
        if self._live:
            self.announcer.frames([explanation.frame for explanation in explanations])
        return sum(counted)

    def _apply_trainings(self, words: Sequence[TrainingRequested | TrainingProgressed | ModelTrained]) -> None:
        self.trainings.note(words)
        if self._live:
            self.announcer.trainings({word.training_id for word in words})

    def _apply_moves(self, words: Sequence[PromotionRequested | PromotionRefused | ModelPromoted]) -> None:
        self.moves.note(words)
        if self._live:
            self.announcer.models({word.recipe for word in words})

    def _apply_thresholds(self, words: Sequence[ThresholdsRequested | ThresholdsKept | ThresholdsRefused]) -> None:
        self.thresholds.note(words)
        if self._live:
            self.announcer.models({word.recipe for word in words})

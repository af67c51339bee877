"""Decide about parts: verdicts on frames in, one decision per part out, each on the disk before it has an effect."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final

import structlog

from services.gateway import metrics
from services.gateway.journal import Journal
from services.gateway.part_assembly import Assembly, Changes, Now
from services.gateway.recipes import Recipes
from services.gateway.rule import Plan
from shared.messages import CameraReported, FrameIdentity, FrameInspected, Message, PartDecided, frame_id
from shared.messaging.loop import Reject, RetryLater

STALLED_SECONDS: Final = 1.5
"""Deadlines are looked at more often than this."""

_log = structlog.stdlib.get_logger("gateway")


def now() -> Now:
    """Return this moment."""
    return Now(time.monotonic(), datetime.now(UTC))


class Gateway:
    """Assembles the frames of all lines into parts. Several threads may call it; the journal's lock orders them."""

    def __init__(
        self,
        journal: Journal,
        recipes: Recipes,
        on_decided: Callable[[PartDecided, Now], None] = lambda _decision, _at: None,
        clock: Callable[[], Now] = now,
    ) -> None:
        """``on_decided`` is called in the transaction that stores a decision, with the moment of the decision."""
        self._journal = journal
        self._recipes = recipes
        self._on_decided = on_decided
        self._clock = clock
        self._assembly = Assembly(journal.frames_of)
        for last, plan in journal.sessions():
            self._assembly.resume(last, plan)
        for key, plan, found in journal.pending():
            self._assembly.restore(key, plan, found, clock())
        self._deadline = self._assembly.next_deadline
        self._looked_at = clock().steady
        self._waits_for = ""

    def decide(self, messages: Sequence[Message]) -> list[Message]:
        """Add verdicts to their parts. Decisions are published from the journal: nothing follows from a batch.

        Raises:
            RetryLater: object storage is unavailable, and a recipe is not known yet.
            Reject: a message is no verdict, or the recipe of one can't be used.
        """
        planned: list[tuple[FrameInspected, Plan]] = []
        for message in messages:
            if not isinstance(message, FrameInspected):
                raise Reject(f"a {type(message).__name__} is no verdict on a frame: it was sent to the wrong queue")
            try:
                plan = self._recipes.plan(message)
            except RetryLater as error:
                self._waits_for = f"verdicts wait for object storage: {error}"
                raise
            if plan:
                planned.append((message, plan))
        self._waits_for = ""
        if not planned:
            return []
        with self._journal.write():
            moment = self._clock()
            self._expire(moment)
            for verdict, plan in planned:
                changes = Changes()
                if self._journal.is_too_old(verdict.frame, moment.wall):
                    changes.late.append((f"{verdict.frame.line}/", verdict.frame))
                    _log.error("a frame is too old to belong to a part", frame_id=verdict.frame.frame_id)
                else:
                    self._assembly.add(verdict, plan, moment, changes)
                self._record(changes, moment)
            for session, plan in {verdict.frame.session: plan for verdict, plan in planned}.items():
                if last := self._assembly.last_of(session):
                    self._journal.record_session(last, plan, moment.wall)
        return []

    def expect_captured(self, report: CameraReported) -> None:
        """Expect the frames that a camera reports as captured: one that no worker inspects is missing in its part."""
        if not report.captured:
            return
        last = FrameIdentity(
            frame_id=frame_id(report.session, report.captured - 1),
            line=report.line,
            camera=report.camera,
            captured_at=report.at,
        )
        with self._journal.write():
            moment, changes = self._clock(), Changes()
            self._assembly.captured(last, moment, changes)
            self._record(changes, moment)

    def expire(self) -> None:
        """Decide about the parts whose deadline has passed."""
        self._looked_at = self._clock().steady
        if self.seconds_to_deadline == 0:
            with self._journal.write():
                self._expire(self._clock())

    @property
    def trouble(self) -> str:
        """Return why parts are not decided in time; empty if they are."""
        if (silent := self._clock().steady - self._looked_at) > STALLED_SECONDS:
            return f"deadlines were not looked at for {silent:.0f} s"
        return self._waits_for

    @property
    def seconds_to_deadline(self) -> float | None:
        """Return the time to the next deadline; None without a part that is not decided."""
        deadline = self._deadline
        return None if deadline is None else max(0.0, deadline - self._clock().steady)

    def _expire(self, moment: Now) -> None:
        changes = Changes()
        self._assembly.expire(moment, changes)
        self._record(changes, moment)

    def _record(self, changes: Changes, moment: Now) -> None:
        self._journal.record(changes, moment.wall)
        for _, decision in changes.decided:
            self._on_decided(decision, moment)
            metrics.PARTS.labels(decision.frame.line, decision.verdict.value).inc()
            metrics.DECISION_SECONDS.labels(decision.frame.line).observe(decision.latency_ms / 1000)
        for _, frame in changes.late:
            metrics.LATE.labels(frame.line).inc()
        metrics.REPEATED.inc(changes.repeated)
        metrics.PENDING.set(self._assembly.pending)
        self._deadline = self._assembly.next_deadline

"""Decide about parts from verdicts on frames.

The journal stores a decision on disk before it is published to the broker or sent to the outputs.
"""

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
from shared.messaging.traces import deciding
from shared.recipe import Recipe

STALLED_SECONDS: Final = 1.5
"""Seconds without a call of `Gateway.expire` after which the loop that calls it counts as stalled."""

_log = structlog.stdlib.get_logger("gateway")


def now() -> Now:
    """Return the present moment by both clocks."""
    return Now(time.monotonic(), datetime.now(UTC))


class Gateway:
    """Assembles the frames of all lines into parts. Thread-safe: each change holds the journal's lock."""

    def __init__(
        self,
        journal: Journal,
        recipes: Recipes,
        on_decided: Callable[[PartDecided, Now], None] = lambda _decision, _at: None,
        clock: Callable[[], Now] = now,
        *,
        on_inspected: Callable[[FrameInspected, Recipe], None] = lambda _verdict, _recipe: None,
        mark: Callable[[PartDecided, Plan], PartDecided] = lambda decision, _plan: decision,
    ) -> None:
        """Restore the parts that were not decided before a restart.

        Args:
            journal: stores changes.
            recipes: finds the plan of each verdict: how the frames of its line become parts.
            on_decided: called with each decision and its moment, in the transaction that stores the decision.
            clock: returns the present moment.
            on_inspected: called with each verdict, and the recipe of its model, before the verdict is added to a part.
            mark: returns a decision as it holds while a check of its line is due, or as it is.
        """
        self._journal = journal
        self._recipes = recipes
        self._on_decided = on_decided
        self._clock = clock
        self._on_inspected = on_inspected
        self._assembly = Assembly(journal.frames_of, mark)
        self._inspects: dict[str, tuple[str, str]] = {}
        """The recipe and the model version of the last verdict on each line."""
        for newest, plan in journal.sessions():
            self._assembly.resume(newest, plan)
            self._inspects[newest.line] = plan.recipe.name, plan.version
        for key, plan, found in journal.pending():
            self._assembly.restore(key, plan, found, clock())
        self._deadline = self._assembly.next_deadline
        self._checked_at = clock().steady
        self._recipe_trouble = ""

    def decide(self, messages: Sequence[Message]) -> list[Message]:
        """Add verdicts to their parts. A frame older than the retention counts as late and changes no part.

        Returns:
            No messages: `services.gateway.loops.publish_decisions` publishes decisions from the journal.

        Raises:
            RetryLater: object storage is unavailable, and the journal does not have a verdict's recipe yet.
            Reject: a message is not a verdict on a frame, or a verdict's recipe can't be used.
        """
        planned: list[tuple[FrameInspected, Plan]] = []
        for message in messages:
            if not isinstance(message, FrameInspected):
                raise Reject(f"a {type(message).__name__} is not a verdict on a frame: it was sent to the wrong queue")
            try:
                plan = self._recipes.plan(message)
                if plan:
                    planned.append((message, plan))
                else:
                    self._on_inspected(message, self._recipes.recipe_of(message))
            except RetryLater as error:
                self._recipe_trouble = f"verdicts wait for object storage: {error}"
                raise
        self._recipe_trouble = ""
        if not planned:
            return []
        with self._journal.write():
            moment = self._clock()
            self._expire(moment)
            for verdict, plan in planned:
                self._on_inspected(verdict, plan.recipe)
                changes = Changes()
                if self._journal.is_too_old(verdict.frame, moment.wall):
                    # without a part: the key names only the line
                    changes.late.append((f"{verdict.frame.line}/", verdict.frame))
                    _log.error(
                        "a verdict came after the retention: the decision about its part may be deleted",
                        frame_id=verdict.frame.frame_id,
                    )
                else:
                    self._assembly.add(verdict, plan, moment, changes)
                    self._inspects[verdict.frame.line] = plan.recipe.name, plan.version
                self._record(changes, moment)
            for session, plan in {verdict.frame.session: plan for verdict, plan in planned}.items():
                if newest := self._assembly.last_of(session):
                    self._journal.record_session(newest, plan, moment.wall)
        return []

    def expect_captured(self, report: CameraReported) -> None:
        """Expect a verdict on each frame that a camera reports as captured.

        If a verdict does not come before the deadline of its part, the part lacks the frame.
        """
        if not report.captured:
            return
        newest = FrameIdentity(
            frame_id=frame_id(report.session, report.captured - 1),
            line=report.line,
            camera=report.camera,
            captured_at=report.at,
        )
        with self._journal.write():
            moment, changes = self._clock(), Changes()
            self._assembly.captured(newest, moment, changes)
            self._record(changes, moment)

    def expire(self) -> None:
        """Decide about the parts whose deadline has passed."""
        self._checked_at = self._clock().steady
        if self.seconds_to_deadline == 0:
            with self._journal.write():
                self._expire(self._clock())

    def inspects(self, line: str) -> tuple[str, str]:
        """Return the recipe and the model version of the last verdict on a line; empty before the first one."""
        return self._inspects.get(line, ("", ""))

    @property
    def trouble(self) -> str:
        """The reason why parts are not decided in time; empty if they are decided in time."""
        if (unchecked_seconds := self._clock().steady - self._checked_at) > STALLED_SECONDS:
            return f"deadlines were not checked for {unchecked_seconds:.0f} s"
        return self._recipe_trouble

    @property
    def seconds_to_deadline(self) -> float | None:
        """The seconds to the next deadline, at least 0; None if all parts are decided."""
        deadline = self._deadline
        return None if deadline is None else max(0.0, deadline - self._clock().steady)

    def _expire(self, moment: Now) -> None:
        changes = Changes()
        self._assembly.expire(moment, changes)
        self._record(changes, moment)

    def _record(self, changes: Changes, moment: Now) -> None:
        self._journal.record(changes, moment.wall)
        for _, decision in changes.decided:
            with deciding(decision):
                self._on_decided(decision, moment)
            metrics.PARTS.labels(decision.frame.line, decision.verdict.value).inc()
            metrics.DECISION_SECONDS.labels(decision.frame.line).observe(decision.latency_ms / 1000)
        for _, frame in changes.late:
            metrics.LATE.labels(frame.line).inc()
        metrics.REPEATED.inc(changes.repeated)
        metrics.PENDING.set(self._assembly.pending)
        self._deadline = self._assembly.next_deadline

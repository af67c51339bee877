"""Match triggers with images: triggers = captured + missed."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import takewhile
from typing import Final, Protocol

import structlog
from prometheus_client import Counter

from services.camera.triggers.trigger import Answer, Cause, Trigger, TriggerOutcome
from shared.messages import CameraState, FrameIdentity

TRIGGERS: Final = Counter(
    "seamline_camera_triggers", "Triggers by what became of them: captured, missed", ["line", "camera", "outcome"]
)

REMEMBERED_SECONDS: Final = 60.0
"""Seconds for which the id of a trigger is remembered: a trigger with the same id is the same one, sent again."""

log = structlog.get_logger(__name__)


class Listener(Protocol):
    """Accepts triggers over one protocol."""

    def close(self) -> None:
        """Stop accepting triggers."""
        ...


@dataclass(eq=False)
class Pending:
    """A trigger that waits for its image."""

    trigger: Trigger
    at: float
    """When the trigger came, in seconds of the steady clock."""
    answer: Future[Answer]
    timer: threading.Timer | None = None


class Triggers:
    """The triggers of a camera. Thread-safe: protocols fire triggers, and the capture loop takes them.

    Only one trigger at a time waits for its image. A trigger is missed if it comes while another one waits, or while
    the camera is away.
    """

    def __init__(
        self,
        line: str,
        camera: str,
        count_missed: Callable[[], None],
        *,
        seconds: float,
        delay_seconds: float = 0,
        refusal: Callable[[str], str] = lambda _recipe: "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start without a trigger.

        Args:
            line: the camera's line.
            camera: the camera's name.
            count_missed: called for each missed trigger.
            seconds: a trigger is missed if its image does not come within this time after the delay.
            delay_seconds: seconds from a trigger to its image, which is the first image that is read after this time.
            refusal: returns why no frame can be inspected by a recipe; empty if one can.
            clock: returns the time in seconds of the steady clock.
        """
        self._names = line, camera
        self._count_missed = count_missed
        self._seconds = seconds
        self._delay_seconds = delay_seconds
        self._refusal = refusal
        self._clock = clock
        self._changed = threading.Condition()
        self._pending: Pending | None = None
        self._answers: dict[str, tuple[float, Future[Answer]]] = {}
        """When each remembered trigger came, in seconds of the steady clock, and its answer, by id; oldest first."""
        self._away = "the camera starts"
        self._watchers: list[Callable[[], None]] = []
        self._listeners: list[Listener] = []

    def listen(self, listener: Listener) -> None:
        """Add a listener, which `close` closes."""
        self._listeners.append(listener)
        for outcome in TriggerOutcome:
            TRIGGERS.labels(*self._names, outcome.value)  # Prometheus then sees 0 before the first missed trigger

    def close(self) -> None:
        """Answer the waiting trigger as missed, and close all listeners."""
        self.set_state(CameraState.FINISHED)
        while self._listeners:
            self._listeners.pop().close()

    # ── for the protocols ────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def away(self) -> str:
        """The reason why the camera can't capture; empty if it can."""
        return self._away

    @property
    def is_ready(self) -> bool:
        """Whether a trigger that comes now gets an image."""
        return not self._away and self._pending is None

    def watch(self, watcher: Callable[[], None]) -> None:
        """Call ``watcher`` each time `away` changes."""
        self._watchers.append(watcher)

    def fire(self, trigger: Trigger, away: str = "") -> Future[Answer]:
        """Let a trigger wait for the next image; return a future with the answer.

        A trigger with the id of an earlier one is the earlier one, sent again: it gets the answer of that one.

        Args:
            trigger: the trigger.
            away: why this trigger gets no image, although the camera can capture; empty if it may get one.
        """
        answer = Future[Answer]()
        refusal = self._refusal(trigger.recipe) if trigger.recipe else ""
        with self._changed:
            if earlier := self._remember(trigger.id, answer):
                log.info("a trigger came again, and is not counted again", trigger=trigger.id)
                return earlier
            away = away or self._away
            if not away and not refusal and self._pending is None:
                pending = self._pending = Pending(trigger, self._clock(), answer)
                pending.timer = threading.Timer(self._delay_seconds + self._seconds, self._expire, (pending,))
                pending.timer.daemon = True
                pending.timer.start()
                self._changed.notify_all()
                return answer
        cause = Cause.REFUSED if refusal else Cause.AWAY if away else Cause.BUSY
        reason = refusal or away or "the image of the trigger before has not come yet"
        answer.set_result(self.miss(cause, reason, trigger.id))
        return answer

    def miss(self, cause: Cause, reason: str, trigger_id: str | None = None) -> Answer:
        """Count and log a missed trigger, and return the answer to it."""
        self._count_missed()
        TRIGGERS.labels(*self._names, TriggerOutcome.MISSED.value).inc()
        log.warning("missed a trigger", cause=cause.value, reason=reason, trigger=trigger_id)
        return Answer(id=trigger_id, outcome=TriggerOutcome.MISSED, cause=cause, reason=reason)

    # ── for the capture loop ─────────────────────────────────────────────────────────────────────────────────────────

    def set_state(self, state: CameraState, reason: str = "") -> None:
        """Set the camera's state; if the camera can't capture, the waiting trigger is missed."""
        away = "" if state is CameraState.RUNNING else f"the camera is {state.value}{': ' * bool(reason)}{reason}"
        with self._changed:
            if away == self._away:
                return
            self._away = away
            pending, self._pending = (self._pending, None) if away else (None, self._pending)
        if pending:
            self._answer(pending, self.miss(Cause.AWAY, away, pending.trigger.id))
        for watcher in self._watchers:
            watcher()

    def wait(self, seconds: float) -> bool:
        """Wait ``seconds`` at most for a trigger, and return whether a trigger waits."""
        with self._changed:
            return self._changed.wait_for(lambda: self._pending is not None, seconds)

    def take(self, read_at: float = math.inf) -> Pending | None:
        """Return the trigger to which an image belongs; None if no trigger waits, or it came after the image.

        Args:
            read_at: when the image was read, in seconds of the steady clock; infinite if it was read for the trigger.
        """
        with self._changed:
            pending = self._pending
            if pending is None or read_at < pending.at + self._delay_seconds:
                return None
            self._pending = None
            return pending

    def captured(self, pending: Pending, frame: FrameIdentity) -> None:
        """Answer a trigger for which a frame was captured. That of a check is not counted, like its frame."""
        if not pending.trigger.check:
            TRIGGERS.labels(*self._names, TriggerOutcome.CAPTURED.value).inc()
        self._answer(pending, Answer.captured(pending.trigger, frame))

    def dropped(self, pending: Pending) -> None:
        """Answer a trigger as missed because its frame was dropped. It is counted as captured, like its frame.

        That of a check is not counted.
        """
        if not pending.trigger.check:
            TRIGGERS.labels(*self._names, TriggerOutcome.MISSED.value).inc()
        reason = "its frame was dropped, because the outbox is full or its image can't be used"
        answer = Answer(id=pending.trigger.id, outcome=TriggerOutcome.MISSED, cause=Cause.DROPPED, reason=reason)
        self._answer(pending, answer)

    def _remember(self, trigger_id: str | None, answer: Future[Answer]) -> Future[Answer] | None:
        """Return the answer of the trigger that has had this id; if there is none, remember the id with ``answer``."""
        now = self._clock()
        for forgotten in list(takewhile(lambda each: now - self._answers[each][0] > REMEMBERED_SECONDS, self._answers)):
            del self._answers[forgotten]
        if trigger_id is None:
            return None
        if trigger_id in self._answers:
            return self._answers[trigger_id][1]
        self._answers[trigger_id] = now, answer
        return None

    def _expire(self, pending: Pending) -> None:
        with self._changed:
            if self._pending is not pending:
                return
            self._pending = None
        reason = f"no image came within {self._seconds:g} s"
        self._answer(pending, self.miss(Cause.LATE, reason, pending.trigger.id))

    def _answer(self, pending: Pending, answer: Answer) -> None:
        if pending.timer:
            pending.timer.cancel()
        pending.answer.set_result(answer)

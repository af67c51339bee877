"""Make the reports of a camera: its state and its counts."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

import structlog
from prometheus_client import Enum, Gauge

from services.camera.frame_identity import Session
from services.camera.outbox import Outbox, SessionCounts
from services.camera.sources.captured_image import clock
from shared.messages import CameraReported, CameraSight, CameraState

WAITING: Final = Gauge("seamline_camera_waiting", "Frames in the outbox", ["line", "camera"])
FULLNESS: Final = Gauge(
    "seamline_camera_outbox_fullness", "Share of the outbox that is used, by frames or bytes", ["line", "camera"]
)
STATE: Final = Enum(
    "seamline_camera_state", "State of the camera", ["line", "camera"], states=[state.value for state in CameraState]
)
SIGHT: Final = Enum(
    "seamline_camera_sight",
    "Whether the images of the camera can be inspected",
    ["line", "camera"],
    states=[sight.value for sight in CameraSight],
)
SHORTEST_MEASURE: Final = 1.0
"""Least seconds over which the frame rate is measured."""

log = structlog.get_logger(__name__)


class CameraReporter:
    """Holds the camera's state and the time of its next report, and makes the report. Thread-safe."""

    def __init__(
        self, session: Session, outbox: Outbox, every_seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._session = session
        self._outbox = outbox
        self._every_seconds = every_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._state = CameraState.RUNNING
        self._reason = ""
        self._sight = CameraSight.CLEAR
        self._sight_reason = ""
        self._recipe = session.recipe.recipe
        """The recipe in the last report."""
        self._due = clock()
        self._measured = (clock(), 0)
        self._rate = 0.0

    def set_state(self, state: CameraState, reason: str = "") -> None:
        """Set the state; if it changes, a report is due at once."""
        with self._lock:
            if (state, reason) == (self._state, self._reason):
                return
            self._state, self._reason = state, reason
            self._due = self._clock()
        log.info("camera is " + state, reason=reason)

    def set_sight(self, sight: CameraSight, reason: str) -> None:
        """Set whether the camera's images can be inspected; a report is due at once."""
        with self._lock:
            self._sight, self._sight_reason = sight, reason
            self._due = self._clock()
        log.warning("camera is " + sight, reason=reason)

    def due(self) -> bool:
        """Return whether a report is due: also when the recipe of the line has changed."""
        with self._lock:
            return self._clock() >= self._due or self._recipe != self._session.recipe.recipe

    def report(self) -> CameraReported:
        """Return a report of the present state, and set the time of the next report."""
        counts = self._outbox.counts()
        names = self._session.line, self._session.camera
        WAITING.labels(*names).set(self._outbox.waiting)
        FULLNESS.labels(*names).set(self._outbox.fullness)
        with self._lock:
            now = self._clock()
            self._due = now + self._every_seconds
            since, captured = self._measured
            if now - since >= SHORTEST_MEASURE:
                self._rate = (counts.captured - captured) / (now - since)
                self._measured = (now, counts.captured)
            STATE.labels(*names).state(self._state)
            SIGHT.labels(*names).state(self._sight)
            self._recipe = self._session.recipe.recipe
            report = self._message(
                self._session.id, counts, self._state, self._reason or self._sight_reason, self._rate
            )
            return report.model_copy(update={"sight": self._sight})

    def report_end_of(self, session: str, counts: SessionCounts) -> CameraReported:
        """Return the last report of an earlier run that could not send it, with the counts of that run."""
        return self._message(session, counts, CameraState.FINISHED, "its last frames were sent by a later run", 0)

    def _message(
        self, session: str, counts: SessionCounts, state: CameraState, reason: str, frames_per_second: float
    ) -> CameraReported:
        return CameraReported(
            session=session,
            line=self._session.line,
            camera=self._session.camera,
            state=state,
            reason=reason,
            captured=counts.captured,
            dropped=counts.dropped,
            unreadable=counts.unreadable,
            triggers=counts.triggers,
            missed_triggers=counts.missed_triggers,
            waiting=counts.waiting,
            recipe=self._recipe,
            frames_per_second=round(frames_per_second, 2),
            at=clock(),
        )

"""What the camera says about itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

import structlog
from prometheus_client import Gauge

from services.camera.outbox import Counts, Outbox
from services.camera.session import Session
from services.camera.sources.shot import clock
from shared.messages import CameraReported, CameraState

WAITING: Final = Gauge("seamline_camera_waiting", "Frames in the outbox", ["line", "camera"])
SHORTEST_MEASURE: Final = 1.0
"""Seconds over which the rate is measured at least."""

log = structlog.get_logger(__name__)


class Reporter:
    """Knows the camera's state and when the next report is due. Safe to use from several threads."""

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
        self._due = clock()
        self._measured = (clock(), 0)
        self._rate = 0.0

    def tell(self, state: CameraState, reason: str = "") -> None:
        """The camera is now like this. A change is reported at once."""
        with self._lock:
            if (state, reason) == (self._state, self._reason):
                return
            self._state, self._reason = state, reason
            self._due = self._clock()
        log.info("camera is " + state, reason=reason)

    def due(self) -> bool:
        """Whether it is time for a report."""
        with self._lock:
            return self._clock() >= self._due

    def report(self) -> CameraReported:
        """How the camera is now; the next report is due in a while."""
        counts = self._outbox.counts()
        WAITING.labels(self._session.line, self._session.camera).set(self._outbox.waiting)
        with self._lock:
            now = self._clock()
            self._due = now + self._every_seconds
            since, captured = self._measured
            if now - since >= SHORTEST_MEASURE:
                self._rate = (counts.captured - captured) / (now - since)
                self._measured = (now, counts.captured)
            return self._reported(self._session.id, counts, self._state, self._reason, self._rate)

    def end_of(self, session: str, counts: Counts) -> CameraReported:
        """The report that an earlier run could not send: it was killed, or stopped while the broker was away."""
        return self._reported(session, counts, CameraState.FINISHED, "its last frames were sent by a later run", 0)

    def _reported(
        self, session: str, counts: Counts, state: CameraState, reason: str, frames_per_second: float
    ) -> CameraReported:
        return CameraReported(
            session=session,
            line=self._session.line,
            camera=self._session.camera,
            state=state,
            reason=reason,
            captured=counts.captured,
            refused=counts.refused,
            waiting=counts.waiting,
            frames_per_second=round(frames_per_second, 2),
            at=clock(),
        )

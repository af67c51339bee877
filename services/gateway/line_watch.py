"""Watch whether lines inspect: their cameras and the inference workers, by their reports, and the gateway itself."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final

from services.gateway.handler import Gateway
from services.gateway.journal import Journal
from services.gateway.outputs.port import LineStatus, Trouble
from shared.health import Health
from shared.messages import (
    CameraReported,
    CameraState,
    GatewayReported,
    Message,
    OutputReport,
    PartVerdict,
    WorkerReported,
)
from shared.messaging.port import Publisher

INSPECTING: Final = "inference"
EVERY_SECONDS: Final = 0.2
STEADY_SECONDS: Final = 2.0
"""A line is online when it has been well for this time: old reports of an outage make no line well."""
MISSED_REPORTS: Final = 2.5
"""A sender is silent after this multiple of the longest recent time between two of its reports."""
LONGEST_SILENCE: Final = 10.0
FORGOTTEN_SECONDS: Final = 3_600.0
"""A worker that is silent for this time was removed on purpose."""


class ReportSender:
    """A camera or a worker, by its reports."""

    def __init__(self, now: float) -> None:
        self.heard_at = now
        self.reason = ""
        self._gaps: deque[float] = deque(maxlen=3)

    def hear(self, now: float, reason: str) -> None:
        """Note a report; ``reason`` says what hinders the sender."""
        self._gaps.append(now - self.heard_at)
        self.heard_at, self.reason = now, reason

    def trouble(self, now: float, silence_seconds: float) -> str:
        """Return why the sender does not work; empty if it does.

        A sender that reports rarely may be silent for longer: what must be noticed in two seconds has to report twice
        a second.
        """
        longest = min(LONGEST_SILENCE, MISSED_REPORTS * max(self._gaps, default=0.0))
        if (silent := now - self.heard_at) > max(silence_seconds, longest):
            return f"silent for {silent:.0f} s"
        return self.reason


class LineWatch:
    """The cameras of each line, and the workers. Thread-safe."""

    def __init__(self, silence_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._silence_seconds = silence_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._cameras: dict[tuple[str, str], ReportSender] = {}
        self._workers: dict[str, ReportSender] = {}

    def hear(self, messages: Sequence[Message]) -> None:
        """Note reports that have just arrived."""
        now = self._clock()
        with self._lock:
            for message in messages:
                match message:
                    case CameraReported():
                        running = message.state is CameraState.RUNNING
                        reason = "" if running else f"{message.state.value} {message.reason}".strip()
                        camera = self._cameras.setdefault((message.line, message.camera), ReportSender(now))
                        camera.hear(now, reason)
                    case WorkerReported(service=service) if service == INSPECTING:
                        self._workers.setdefault(message.worker, ReportSender(now)).hear(now, message.reason)

    def trouble(self, line: str) -> tuple[Trouble, str]:
        """Return what is wrong with a line, and the reason."""
        now, silence = self._clock(), self._silence_seconds
        with self._lock:
            cameras = {camera: sender for (of, camera), sender in self._cameras.items() if of == line}
            for camera, sender in cameras.items():
                if reason := sender.trouble(now, silence):
                    return Trouble.CAMERA, f"camera {camera}: {reason}"
            if not cameras:
                return Trouble.NO_CAMERA, "no camera has reported"
            for worker in [name for name, known in self._workers.items() if now - known.heard_at > FORGOTTEN_SECONDS]:
                del self._workers[worker]
            reasons = [sender.trouble(now, silence) for sender in self._workers.values()]
            if not reasons:
                return Trouble.NO_WORKER, "no inference worker has reported"
            if all(reasons):
                return Trouble.WORKER, f"inference: {reasons[0]}"
        return Trouble.NONE, ""


class Statuses:
    """The status of each line, and its way to the outputs and the dashboard."""

    def __init__(
        self,
        watch: LineWatch,
        gateway: Gateway,
        journal: Journal,
        lines: Sequence[str],
        *,
        show: Callable[[str, LineStatus], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._watch = watch
        self._gateway = gateway
        self._journal = journal
        self._show = show
        self._clock = clock
        self._well_since: dict[str, float | None] = dict.fromkeys(lines)

    def run(self, stop: threading.Event, health: Health) -> None:
        """Show the status of each line until ``stop`` is set."""
        while not stop.wait(EVERY_SECONDS):
            health.beat()
            for line in self._well_since:
                self._show(line, self.status(line))

    def report(
        self,
        publisher: Publisher,
        gateway: str,
        outputs: Callable[[str], tuple[OutputReport, ...]],
        *,
        every_seconds: float,
        stop: threading.Event,
        health: Health,
    ) -> None:
        """Publish a report of each line until ``stop`` is set. A report that is lost is followed by another."""
        while not stop.wait(every_seconds):
            health.beat()
            for line in self._well_since:
                status = self.status(line)
                report = GatewayReported(
                    gateway=gateway,
                    line=line,
                    online=status.online,
                    reason=status.reason,
                    outputs=outputs(line),
                    at=datetime.now(UTC),
                )
                publisher.publish(report)

    def status(self, line: str) -> LineStatus:
        """Return the status of a line now."""
        now = self._clock()
        trouble, reason = self._watch.trouble(line)
        if stuck := self._gateway.trouble:
            trouble, reason = Trouble.GATEWAY, stuck
        since = self._well_since.get(line)
        if trouble is not Trouble.NONE:
            since = None
        elif since is None:
            since = now
        self._well_since[line] = since
        if trouble is Trouble.NONE and since is not None and now - since < STEADY_SECONDS:
            trouble, reason = Trouble.GATEWAY, "the line has been well for a moment only"
        parts = self._journal.totals(line)
        return LineStatus(trouble, reason, *(parts.get(verdict.value, 0) for verdict in PartVerdict))

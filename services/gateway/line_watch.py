"""Find out whether each line inspects parts, from the reports of its cameras and workers and the gateway's state."""

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
    CheckReport,
    DueCheck,
    GatewayReported,
    Message,
    OutputReport,
    PartVerdict,
    WorkerReported,
)
from shared.messaging.port import Publisher

INSPECTING_SERVICE: Final = "inference"
STATUS_SECONDS: Final = 0.2
"""Seconds between two updates of the status of a line at its outputs."""
STEADY_SECONDS: Final = 2.0
"""A line is online when it has been healthy for this time. Reports that waited in the broker do not suffice."""
MISSED_REPORTS: Final = 2.5
"""A sender is silent after this multiple of the longest recent time between two of its reports."""
LONGEST_SILENCE: Final = 10.0
"""Most seconds that this multiple can be."""
FORGOTTEN_SECONDS: Final = 3_600.0
"""A worker that is silent for this time counts as removed, not as failed."""


class ReportSender:
    """The reports of one camera or worker: when the last one came, and why the sender does not work."""

    def __init__(self, now: float) -> None:
        self.reported_at = now
        self.reason = ""
        self._gaps: deque[float] = deque(maxlen=3)

    def note_report(self, now: float, reason: str) -> None:
        """Note a report; ``reason`` is why the sender does not work, or empty."""
        self._gaps.append(now - self.reported_at)
        self.reported_at, self.reason = now, reason

    def trouble(self, now: float, silence_seconds: float) -> str:
        """Return why the sender does not work; empty if it does.

        A sender may be silent for ``silence_seconds``, and for longer if it reports less often.
        """
        longest = min(LONGEST_SILENCE, MISSED_REPORTS * max(self._gaps, default=0.0))
        if (silent := now - self.reported_at) > max(silence_seconds, longest):
            return f"silent for {silent:.0f} s"
        return self.reason


class LineWatch:
    """The reports of all cameras and inference workers. Thread-safe."""

    def __init__(self, silence_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._silence_seconds = silence_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._cameras: dict[tuple[str, str], ReportSender] = {}
        self._workers: dict[str, ReportSender] = {}

    def note_reports(self, messages: Sequence[Message]) -> None:
        """Note reports that have just arrived."""
        now = self._clock()
        with self._lock:
            for message in messages:
                match message:
                    case CameraReported():
                        running = message.state is CameraState.RUNNING
                        reason = "" if running else f"{message.state.value} {message.reason}".strip()
                        camera = self._cameras.setdefault((message.line, message.camera), ReportSender(now))
                        camera.note_report(now, reason)
                    case WorkerReported(service=service) if service == INSPECTING_SERVICE:
                        self._workers.setdefault(message.worker, ReportSender(now)).note_report(now, message.reason)

    def trouble(self, line: str) -> tuple[Trouble, str]:
        """Return what is wrong with a line, and the reason."""
        now, silence = self._clock(), self._silence_seconds
        with self._lock:
            cameras = {camera: sender for (camera_line, camera), sender in self._cameras.items() if camera_line == line}
            for camera, sender in cameras.items():
                if reason := sender.trouble(now, silence):
                    return Trouble.CAMERA, f"camera {camera}: {reason}"
            if not cameras:
                return Trouble.NO_CAMERA, "no camera has reported"
            for worker in [
                name for name, sender in self._workers.items() if now - sender.reported_at > FORGOTTEN_SECONDS
            ]:
                del self._workers[worker]
            reasons = [sender.trouble(now, silence) for sender in self._workers.values()]
            if not reasons:
                return Trouble.NO_WORKER, "no inference worker has reported"
            if all(reasons):
                return Trouble.WORKER, f"inference: {reasons[0]}"
        return Trouble.NONE, ""


class LineStatuses:
    """Computes the status of each line, shows it at the outputs and reports it to the dashboard."""

    def __init__(
        self,
        watch: LineWatch,
        gateway: Gateway,
        journal: Journal,
        lines: Sequence[str],
        *,
        show: Callable[[str, LineStatus], None],
        due: Callable[[str], DueCheck | None],
        describe: Callable[[DueCheck], str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``due`` returns the check of a line that is due, or None; ``describe`` says why."""
        self._watch = watch
        self._gateway = gateway
        self._journal = journal
        self._show = show
        self._due = due
        self._describe = describe
        self._clock = clock
        self._healthy_since: dict[str, float | None] = dict.fromkeys(lines)

    def run(self, stop: threading.Event, health: Health) -> None:
        """Show the status of each line until ``stop`` is set."""
        while not stop.wait(STATUS_SECONDS):
            health.beat()
            for line in self._healthy_since:
                self._show(line, self.status(line))

    def report(
        self,
        publisher: Publisher,
        gateway: str,
        outputs: Callable[[str], tuple[OutputReport, ...]],
        check: Callable[[str], CheckReport | None],
        *,
        every_seconds: float,
        stop: threading.Event,
        health: Health,
    ) -> None:
        """Publish a report of each line until ``stop`` is set, without waiting for confirms."""
        while not stop.wait(every_seconds):
            health.beat()
            for line in self._healthy_since:
                status = self.status(line)
                report = GatewayReported(
                    gateway=gateway,
                    line=line,
                    online=status.online,
                    reason=status.reason,
                    outputs=outputs(line),
                    check=check(line),
                    due_check=self._due(line),
                    at=datetime.now(UTC),
                )
                publisher.publish(report)

    def status(self, line: str) -> LineStatus:
        """Return the status of a line now."""
        now = self._clock()
        trouble, reason = self._watch.trouble(line)
        if stuck := self._gateway.trouble:
            trouble, reason = Trouble.GATEWAY, stuck
        since = self._healthy_since.get(line)
        if trouble is not Trouble.NONE:
            since = None
        elif since is None:
            since = now
        self._healthy_since[line] = since
        if trouble is Trouble.NONE and since is not None and now - since < STEADY_SECONDS:
            trouble, reason = Trouble.GATEWAY, "the line has only just become healthy"
        parts = self._journal.totals(line)
        ok, ng, not_inspected = (parts.get(verdict.value, 0) for verdict in PartVerdict)
        due = self._due(line)
        check_due = self._describe(due) if due else ""
        return LineStatus(trouble, reason, ok, ng, not_inspected, *self._gateway.inspects(line), check_due)

"""The camera as a process of its own, and what arrives from it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from shared.messages import CameraReported, FrameCaptured, decode
from shared.messaging.port import Broker, BrokerUnavailable
from shared.topology import DASHBOARD_REPORTS, INFERENCE_FRAMES, Queue

SECONDS = 180.0
"""How long a fact is waited for: a process may start slowly on a machine that is busy with other tests."""


class CameraProcess:
    """``python -m services.camera``, with nothing in its environment but what is given."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.log = folder / "camera.log"
        settings = {
            "CAMERA_OUTBOX_FOLDER": str(folder / "outbox"),
            "CAMERA_STORAGE_URL": f"file:///{folder}/objects",
            "CAMERA_LOG_FORMAT": "json",
            "CAMERA_REPORT_SECONDS": "0.2",
            "CAMERA_DRAIN_SECONDS": "60",  # a busy broker may confirm late
            **environment,
        }
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("CAMERA_")}
        self.environment = {**inherited, **settings}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([sys.executable, "-m", "services.camera"], env=self.environment, stderr=log)

    def wait(self, seconds: float = SECONDS) -> int:
        """Its exit code, when it ends by itself."""
        return self.process.wait(seconds)

    def stop(self) -> int:
        """Its exit code after SIGTERM."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        """Kill the process."""
        self.process.kill()
        self.process.wait(60)


StartCamera = Callable[..., CameraProcess]
"""The fixture ``start_camera``."""


class Line:
    """The consumer of a camera: takes frames and reports from the broker, and keeps them in order."""

    def __init__(self, broker: Broker, frames: Queue = INFERENCE_FRAMES) -> None:
        self._frames = broker.subscribe(frames, prefetch=200)
        self._reports = broker.subscribe(DASHBOARD_REPORTS, prefetch=200)
        self.frames: list[FrameCaptured] = []
        self.reports: list[CameraReported] = []

    def take(self, most: int = 200) -> None:
        """What is there, without waiting long."""
        for subscription in (self._frames, self._reports):
            try:
                deliveries = subscription.receive(most, 0.02)
            except BrokerUnavailable:
                continue
            for message in (decode(delivery.body) for delivery in deliveries):
                if isinstance(message, FrameCaptured):
                    self.frames.append(message)
                elif isinstance(message, CameraReported):
                    self.reports.append(message)
            subscription.acknowledge(deliveries)

    def take_until(self, happened: Callable[[], bool], seconds: float = SECONDS) -> None:
        """Take until something has happened."""
        deadline = time.monotonic() + seconds
        while not happened():
            assert time.monotonic() < deadline, f"{len(self.frames)} frames, last report {self.last_report!r}"
            self.take()

    def take_more(self, frames: int) -> None:
        """Take until this number of further frames has come."""
        enough = len(self.frames) + frames
        self.take_until(lambda: len(self.frames) >= enough)

    def take_until_finished(self, sessions: int = 1) -> None:
        """Take until this number of sessions has finished, and every frame that they sent has come."""
        self.take_until(lambda: len(self.finished) >= sessions and len(self.sequences()) >= self._sent)

    @property
    def last_report(self) -> CameraReported | None:
        return self.reports[-1] if self.reports else None

    @property
    def finished(self) -> dict[str, CameraReported]:
        """The last words of each session."""
        return {report.session: report for report in self.reports if report.state == "finished"}

    @property
    def _sent(self) -> int:
        return sum(report.captured - report.dropped - report.waiting for report in self.finished.values())

    def sequences(self, session: str | None = None) -> list[int]:
        """The numbers of the frames in the order of their first arrival."""
        seen = dict.fromkeys(frame.frame for frame in self.frames)
        return [identity.sequence for identity in seen if session in (None, identity.session)]

"""Measure a camera on RabbitMQ against encoding alone: ``python -m benchmarks.camera [--rounds 5] [--folder .]``.

Each round encodes images as JPEG in a loop, and then lets the camera's own capture loop encode the same images, store
each frame in its outbox and send it until the broker has confirmed it; both at 100 x 100 and 640 x 480 pixels. The
processor time of camera and broker together says how many frames the cores could do if the disk cost no time.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import numpy as np
import typer
from rich.console import Console
from rich.progress import track

from benchmarks.comparison import Rounds, Target
from benchmarks.workers import BrokerServer
from samples.still import draw_seam
from services.camera.capture_loop import CaptureLoop
from services.camera.frame_identity import Session
from services.camera.frame_maker import FrameMaker
from services.camera.heartbeat import Heartbeat
from services.camera.outbox import Outbox
from services.camera.recorder import NoRecorder
from services.camera.reporter import CameraReporter
from services.camera.sender import Sender
from services.camera.settings import CameraSettings
from services.camera.sight import SightWatch
from services.camera.sources.captured_image import CapturedImage
from services.camera.triggers.opening import open_triggers
from shared.health import Health
from shared.imaging.codec import Image, encode
from shared.storage.filesystem import FilesystemStore
from tests.workers import Line

SIZES: Final = ((100, 100), (640, 480))
ENCODING_SECONDS: Final = 2.0
FRAMES_BY_SIZE: Final = {(100, 100): 2000, (640, 480): 600}


@dataclass(frozen=True)
class RepeatingSource:
    """A source that yields the same images again and again, and lets the capture loop set the pace (`can_wait`)."""

    seam_images: Sequence[Image]
    count: int
    frames_per_second: float = 1000.0
    can_wait: bool = True
    is_live: bool = False

    @property
    def size(self) -> tuple[int, int]:
        return self.seam_images[0].shape[1], self.seam_images[0].shape[0]

    def images(self, heartbeat: Heartbeat) -> Iterator[CapturedImage]:
        for number in range(self.count):
            heartbeat.beat()
            yield CapturedImage(datetime.now(UTC), self.seam_images[number % len(self.seam_images)])

    def close(self) -> None:
        """Do nothing: this source holds no resource."""


def draw_images(width: int, height: int) -> list[Image]:
    """Return different images of seams of a size."""
    seams = (draw_seam(seed, size=max(width, height)).image for seed in range(8))
    return [np.ascontiguousarray(seam[:height, :width]) for seam in seams]


def encoding_rate(images: Sequence[Image]) -> float:
    """Return the images per second that one thread encodes."""
    encoded, started_at = 0, time.perf_counter()
    while time.perf_counter() - started_at < ENCODING_SECONDS:
        encode(images[encoded % len(images)], "jpeg")
        encoded += 1
    return encoded / (time.perf_counter() - started_at)


def camera_rate(line: Line, folder: Path, images: Sequence[Image], count: int) -> tuple[float, float]:
    """Return the confirmed frames per second of the camera's capture loop, and its processor time in ms/frame."""
    settings = CameraSettings(source="repeated", outbox_folder=folder, pace="fast")
    session = Session.of(settings)
    with Outbox.of(settings, session.id) as outbox:
        reporter = CameraReporter(session, outbox, 3)
        sender = Sender(outbox, FilesystemStore(line.objects), reporter, line.address.open, settings.window)
        frames = FrameMaker(settings, session, outbox, NoRecorder())
        sight = SightWatch(settings, reporter.set_sight)
        triggers = open_triggers(settings, outbox.count_missed_trigger)
        loop = CaptureLoop(RepeatingSource(images, count), frames, outbox, sender, settings, sight, triggers)
        started_at, processor = time.perf_counter(), time.process_time()
        loop.run(Heartbeat(threading.Event(), Health(), sender.check))
        return count / (time.perf_counter() - started_at), 1000 * (time.process_time() - processor) / count


def main(
    rounds: Annotated[int, typer.Option(min=1, help="Number of rounds.")] = 5,
    folder: Annotated[
        Path, typer.Option(help="Folder for the outbox and the broker's data; choose the disk to be measured.")
    ] = Path(),
) -> None:
    """Print the measured figures and the ratio of each target."""
    rates, costs = Rounds(), Rounds()
    with tempfile.TemporaryDirectory(dir=folder) as name:
        server = BrokerServer(Path(name))
        try:
            for round_number in track(range(rounds), "measuring", console=Console(stderr=True), transient=True):
                for width, height in SIZES:
                    images = draw_images(width, height)
                    line, outbox = server.line(f"{width}-{round_number}"), Path(name, f"outbox-{width}-{round_number}")
                    count, size = FRAMES_BY_SIZE[width, height], f"{width} x {height}"
                    rates.add(f"encoding alone, {size}", encoding_rate(images))
                    before = server.processor_seconds()
                    rate, camera_ms = camera_rate(line, outbox, images, count)
                    broker_ms = 1000 * (server.processor_seconds() - before) / count
                    rates.add(f"camera, {size}", rate)
                    rates.add(f"if all cores were busy, {size}", 1000 * (os.cpu_count() or 1) / (camera_ms + broker_ms))
                    costs.add(f"camera, {size}", camera_ms)
                    costs.add(f"RabbitMQ, {size}", broker_ms)
        finally:
            server.remove()
    targets = [
        Target(f"camera : encoding, {size}", f"camera, {size}", f"encoding alone, {size}", 0.7)
        for size in (f"{width} x {height}" for width, height in SIZES)
    ]
    print(f"{rates.figures('frames/s')}\n\n{rates.ratios(targets)}\n\n{costs.figures('processor ms/frame')}")


if __name__ == "__main__":
    typer.run(main)

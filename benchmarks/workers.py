"""Run inference workers as processes on a RabbitMQ of their own, and measure how fast they inspect frames."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Final

import psutil

from shared.contracts.bundle import Bundle
from shared.messages import FrameCaptured, FrameInspected, WorkerReported
from shared.messaging.port import Broker
from shared.storage.filesystem import FilesystemStore
from shared.topology import DASHBOARD_REPORTS, DASHBOARD_VERDICTS
from tests.broker_address import BrokerAddress
from tests.collector import Collector
from tests.models import captured, promote
from tests.processes import ChildServer, Server, wait_until
from tests.servers import Endpoint, make_virtual_host, start_rabbitmq
from tests.workers import Line

BATCH: Final = 16
SIDE: Final = 480
"""Of the camera's images, in pixels."""
START_SECONDS: Final = 120.0
STEADY: Final = (0.1, 0.9)
"""The part of the verdicts of a measurement during which all workers have work."""


@dataclass(frozen=True)
class Measured:
    """What a number of frames took."""

    frames_per_second: float
    worker_ms: float
    """Processor time of all workers for a frame."""
    broker_ms: float
    """Processor time of RabbitMQ for a frame; 0 where it runs in a container."""


class BrokerServer:
    """A RabbitMQ with a virtual host for each set of workers."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._endpoint: Endpoint
        self._server: Server
        self._endpoint, self._server = start_rabbitmq(folder / "rabbitmq")

    def line(self, name: str) -> Line:
        """Return a line on a virtual host of its own. Its verdicts have no reader, which would take processor time."""
        make_virtual_host(self._endpoint, name)
        (self._folder / name).mkdir()
        url = f"amqp://{self._endpoint.host}:{self._endpoint.port}/{name}"
        line = Line(BrokerAddress(url, self._endpoint.user, self._endpoint.password), self._folder / name)
        with line.verdicts:
            return line

    def processor_seconds(self) -> float:
        """Return the processor time of the server so far."""
        return processor_seconds(self._server.pid) if isinstance(self._server, ChildServer) else 0.0

    def remove(self) -> None:
        """Stop the server."""
        self._server.remove()


class Workers:
    """Inference workers that share the queue of a line."""

    def __init__(self, server: BrokerServer, name: str, bundle: Bundle, cores: Sequence[int | None]) -> None:
        """Describe the workers, one for each entry of ``cores``: the only core that it may use, or None for all."""
        self._server = server
        self._bundle = bundle
        self._cores = cores
        self._line = server.line(name)
        self._processes: list[ChildServer] = []
        self._sequence = count()
        promote(FilesystemStore(self._line.objects), bundle)

    @contextmanager
    def running(self) -> Iterator[Workers]:
        """Start the workers, wait until each has its model, and stop them after the block."""
        reports = Collector(self._line.broker, DASHBOARD_REPORTS, WorkerReported)
        with ExitStack() as stack:
            self._processes = [stack.enter_context(self._start(core)) for core in self._cores]
            reports.until(lambda told: _with_a_model(told) == len(self._cores), START_SECONDS)
            yield self
        self._line.broker.close()

    def inspect(self, images: Sequence[bytes]) -> Measured:
        """Send a frame for each image while the workers are paused, then measure how fast they inspect them."""
        for process in self._processes:
            process.pause()
        self._line.send(*self._frames(images))
        before = self._processor_seconds()
        for process in self._processes:
            process.resume()
        verdicts = self._verdicts(len(images))
        worker, broker = (
            (after - since) * 1000 / len(images) for after, since in zip(self._processor_seconds(), before, strict=True)
        )
        first, last = (verdicts[int(part * len(verdicts)) - 1] for part in STEADY)
        between = (STEADY[1] - STEADY[0]) * len(verdicts)
        return Measured(between / (last.at - first.at).total_seconds(), worker, broker)

    def verdicts(self, images: Sequence[bytes]) -> list[FrameInspected]:
        """Return the verdict on each image."""
        self._line.send(*self._frames(images))
        return sorted(self._verdicts(len(images)), key=lambda verdict: verdict.frame.sequence)

    def latencies(self, images: Sequence[bytes], frames_per_second: float) -> list[float]:
        """Send frames at a steady rate, and return the milliseconds from the capture of each to its verdict."""
        publisher, began = self._line.broker.publisher(), time.monotonic()
        for number, image in enumerate(images):
            time.sleep(max(0.0, began + number / frames_per_second - time.monotonic()))
            publisher.publish(self._frames([image])[0])
        publisher.close()
        return [verdict.latency_ms for verdict in self._verdicts(len(images))]

    def seconds_to_the_first_verdict(self, image: bytes) -> float:
        """Start a worker while a frame waits, and return the seconds until its verdict."""
        self._line.send(*self._frames([image]))
        began = datetime.now(UTC)
        with self._start(None):
            return (self._verdicts(1)[0].at - began).total_seconds()

    def _start(self, core: int | None) -> AbstractContextManager[ChildServer]:
        held = "" if core is None else f"import os\nos.sched_setaffinity(0, {{{core}}})"
        settings = {"RECIPE": self._bundle.recipe.name, "BATCH": str(BATCH), "THREADS": "1", "REPORT_SECONDS": "0.3"}
        return self._line.running("inference", held, **settings)

    def _frames(self, images: Sequence[bytes]) -> list[FrameCaptured]:
        jpeg = {"encoding": "jpeg", "width": SIDE, "height": SIDE}
        return [captured(next(self._sequence), image).model_copy(update=jpeg) for image in images]

    def _verdicts(self, frames: int) -> list[FrameInspected]:
        """Wait for this number of verdicts, and take them from their queue, in the order of their time."""
        broker: Broker = self._line.broker
        wait_until(lambda: broker.depth(DASHBOARD_VERDICTS.name).ready >= frames, START_SECONDS, "verdicts", pause=1.0)
        with Collector(broker, DASHBOARD_VERDICTS, FrameInspected) as collector:
            return sorted(collector.until(lambda verdicts: len(verdicts) >= frames), key=lambda verdict: verdict.at)

    def _processor_seconds(self) -> tuple[float, float]:
        workers = sum(processor_seconds(process.pid) for process in self._processes)
        return workers, self._server.processor_seconds()


def _with_a_model(reports: Sequence[WorkerReported]) -> int:
    return len({report.worker for report in reports if report.model_version})


def processor_seconds(pid: int) -> float:
    """Return the processor time of a process and of those that it started, so far."""
    process = psutil.Process(pid)
    times = [one.cpu_times() for one in (process, *process.children(recursive=True))]
    return float(sum(one.user + one.system for one in times))

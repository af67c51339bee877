"""A peer of the inference workers: its environment, its server, and its answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks.workers import BATCH, STEADY, BrokerServer, processor_seconds
from tests.processes import ChildServer, free_port, listens
from tests.workers import ROOT

REQUIREMENTS: Final = Path(__file__).with_name("requirements")
START_SECONDS: Final = 60.0
ANSWER_SECONDS: Final = 120.0


class PeerFailed(RuntimeError):
    """A peer that does not answer, or answers otherwise than the worker."""


@dataclass(frozen=True)
class Peer:
    """Another way to serve a network."""

    name: str
    """Also the name of its requirements, and of the folder in which they are installed."""
    title: str
    server: Sequence[str]
    """Command of its server, with the places {port} and {workers}; the first word is a program of its environment."""
    client: Sequence[str]
    """Module of its client and the first arguments, with the place {port}."""
    is_queue: bool = False
    """Whether images wait in RabbitMQ, and are not sent to the server itself."""


def celery(name: str, title: str, module: str) -> Peer:
    """Return Celery with the task of a module."""
    quiet = ("--loglevel=error", "--without-gossip", "--without-mingle", "--without-heartbeat")
    server = ("celery", "-A", module, "worker", *quiet, "--concurrency={workers}")
    return Peer(name, title, server, ("celery_client", module), is_queue=True)


PEERS: Final = (
    celery("celery", "Celery, image by image", "benchmarks.peers.celery_app"),
    celery("celery-batches", "Celery, in batches", "benchmarks.peers.celery_batches_app"),
    Peer(
        "litserve",
        "LitServe",
        ("python", "-m", "benchmarks.peers.litserve_server"),
        ("http_client", "{port}", "/predict", "json"),
    ),
    Peer(
        "bentoml",
        "BentoML",
        ("bentoml", "serve", "benchmarks.peers.bentoml_service:Inspection", "--host=127.0.0.1", "--port={port}"),
        ("http_client", "{port}", "/inspect", "list"),
    ),
    Peer(
        "ray",
        "Ray Serve",
        ("python", "-m", "benchmarks.peers.ray_server"),
        ("http_client", "{port}", "/", "raw"),
    ),
)


@dataclass(frozen=True)
class Answers:
    """The answers to a number of images, in their order."""

    times: Sequence[float]
    """When each was done, in seconds."""
    logits: Sequence[Sequence[float]]
    server_ms: float
    """Processor time of the server for an image."""
    client_ms: float
    """Processor time of the client for an image."""

    @property
    def frames_per_second(self) -> float:
        """Return the rate of the middle 80 % of the answers."""
        times = sorted(self.times)
        first, last = (times[int(part * len(times)) - 1] for part in STEADY)
        return (STEADY[1] - STEADY[0]) * len(times) / (last - first)


@dataclass(frozen=True)
class Environments:
    """The virtual environments of the peers, in a folder; each has the locked packages of its requirements."""

    folder: Path

    def install(self, name: str) -> None:
        """Make an environment, unless it has the locked packages."""
        locked = (REQUIREMENTS / f"{name}.txt").read_bytes()
        installed = self.folder / f"{name}.txt"
        if installed.exists() and installed.read_bytes() == locked:
            return
        uv, environment = str(Path(sys.executable).with_name("uv")), self.folder / name
        subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, environment], check=True)
        install = [uv, "pip", "install", "--quiet", "--require-hashes", "--python", str(environment / "bin" / "python")]
        subprocess.run([*install, "--requirement", REQUIREMENTS / f"{name}.txt"], check=True)
        installed.write_bytes(locked)

    def program(self, peer: Peer, name: str) -> Path:
        """Return a program of a peer's environment."""
        return self.folder / peer.name / "bin" / name


@dataclass(frozen=True)
class RunningPeer:
    """A server with a number of workers."""

    peer: Peer
    workers: int
    environments: Environments
    images: Path
    """Folder of the images that are sent again and again, in the order of their names."""
    server: ChildServer
    log: Path
    settings: Mapping[str, str] = field(repr=False)

    @property
    def end_of_log(self) -> str:
        """Return the end of the server's log."""
        return f"end of the log of {self.peer.title}:\n{self.log.read_text(errors='replace')[-2000:]}"

    def answers(self, frames: int) -> Answers:
        """Send frames, and return the answers. Frames for a queue are sent while the server is paused.

        Raises:
            PeerFailed: an answer is missing.
        """
        module, *arguments = (word.format_map(self.settings) for word in self.peer.client)
        connections = [] if self.peer.is_queue else [str(min(frames, 3 * BATCH * self.workers))]
        words = ["-m", f"benchmarks.peers.{module}", *arguments, str(self.images), str(frames), *connections]
        before = processor_seconds(self.server.pid)
        if self.peer.is_queue:
            self.server.pause()
        with subprocess.Popen(
            [self.environments.program(self.peer, "python"), *words],
            env=self.server.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as client:
            assert client.stdout
            try:
                if self.peer.is_queue:
                    client.stdout.readline()
                    self.server.resume()
                told, failure = client.communicate(timeout=ANSWER_SECONDS)
            except subprocess.TimeoutExpired as error:
                raise PeerFailed(f"no answer within {ANSWER_SECONDS:.0f} s\n{self.end_of_log}") from error
            finally:
                client.kill()
        if client.returncode:
            raise PeerFailed(f"its client failed: {failure[-500:]}\n{self.end_of_log}")
        read = json.loads(told)
        times, logits = zip(*read["answers"], strict=True)
        server_seconds = processor_seconds(self.server.pid) - before
        return Answers(times, logits, 1000 * server_seconds / frames, 1000 * read["processor_seconds"] / frames)

    def wait(self) -> None:
        """Wait until the server answers.

        Raises:
            PeerFailed: it does not.
        """
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                self.answers(1)
            except PeerFailed:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.5)
            else:
                return


@contextmanager
def running(
    peer: Peer,
    workers: int,
    *,
    environments: Environments,
    broker: BrokerServer,
    images: Path,
    model: Mapping[str, str],
) -> Iterator[RunningPeer]:
    """Start a peer with a number of workers, and stop it after the block.

    Args:
        peer: the peer.
        workers: number of processes that run the network.
        environments: where its packages are.
        broker: a RabbitMQ, on which it gets a virtual host of its own.
        images: folder of the images.
        model: environment variables that name the network.
    """
    port = free_port()
    line = broker.line(f"{peer.name}-{port}")
    settings = {"port": str(port), "workers": str(workers)}
    url = line.address.url.removeprefix("amqp://")
    bin_folder = environments.program(peer, "python").parent
    environment = {
        "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "PEERS_BROKER": f"pyamqp://{line.address.user}:{line.address.password}@{url}",
        "PEERS_WORKERS": str(workers),
        "PEERS_PORT": str(port),
        "PEERS_FOLDER": str(line.folder / "ray"),
        "C_FORCE_ROOT": "1",  # Celery refuses to run as root, which a container does
        "BENTOML_DO_NOT_TRACK": "True",
        "HOME": str(line.folder),  # where peers leave files
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # listen on loopback alone
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        **model,
    }
    program, *words = (word.format_map(settings) for word in peer.server)
    log = line.folder / "server.log"
    server = ChildServer(
        [environments.program(peer, program), *words], log, lambda: peer.is_queue or listens(port), environment
    )
    started = RunningPeer(peer, workers, environments, images, server, log, settings)
    try:
        server.start()
        started.wait()
        yield started
    finally:
        server.stop()
        server.remove()

"""The line under test: the services as processes, restarted as Docker restarts them, behind proxies to real servers."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from ulid import ULID

from samples.seam_video import SeamVideo
from samples.swatch import swatches
from services.dashboard.settings import DashboardSettings
from shared.imaging.codec import encode
from shared.messages import FrameCaptured, FrameIdentity, frame_id
from shared.messaging import open_broker
from shared.messaging.port import Broker
from shared.storage.opening import open_store
from shared.storage.port import ObjectStore
from tests.dashboards import PrivateRedis
from tests.processes import ChildServer, Server, free_port, wait_until
from tests.servers import Endpoint, make_virtual_host, program, start_rabbitmq, start_s3
from tests.soak.proxy import Proxy

LINE = "soak"
ROOT = Path(__file__).parents[2]
MODEL = ROOT / "samples" / "model"
IMAGES = 200
DISK_MEGABYTES = 16
"""Of the disk of an outbox, where the run may mount one."""
RESTART_SECONDS = 1.0
LONGEST_PAUSE = 10.0
"""Between two starts of a process that ends at once, again and again."""
CLONE_NEWNS = 0x20000


@dataclass(frozen=True)
class End:
    """A process ended without being asked to."""

    name: str
    code: int
    seconds: float
    """since its start"""
    last_words: str


@dataclass
class Part:
    """One process of a service."""

    name: str
    service: str
    environment: dict[str, str]
    folder: Path
    health_port: int
    server: ChildServer = field(init=False)
    started: float = 0.0
    starts: int = 0
    pause: float = 0.0
    """Before the next start."""
    asked_to_end: bool = False

    def __post_init__(self) -> None:
        (self.folder / "tmp").mkdir(parents=True)
        command = [sys.executable, "-m", f"services.{self.service}"]
        self.server = ChildServer(command, self.log, lambda: True, {**os.environ, **self.environment})

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def start(self) -> None:
        lived = time.monotonic() - self.started
        self.pause = 0.0 if lived > LONGEST_PAUSE else min(LONGEST_PAUSE, 2 * self.pause + RESTART_SECONDS)
        self.started, self.asked_to_end = time.monotonic(), False
        self.starts += 1
        self.server.start()

    def kill(self) -> None:
        self.asked_to_end = True
        self.server.kill()

    def stop(self) -> float:
        """How many seconds it took to end."""
        self.asked_to_end = True
        began = time.monotonic()
        self.server.stop()
        return time.monotonic() - began

    def last_words(self) -> str:
        with self.log.open("rb") as log:
            log.seek(max(0, self.log.stat().st_size - 4000))
            lines = log.read().decode(errors="replace").strip().splitlines()
        return lines[-1][-500:] if lines else ""


class Line:
    """Three servers, four proxies, and nine processes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.images = images(folder.parent / f"images-{IMAGES}")
        self.parts: dict[str, Part] = {}
        self.ends: list[End] = []
        self.stops: list[tuple[str, float]] = []
        self.injected: list[str] = []
        """Frames that the run itself published, by id."""
        self.poisoned = 0
        """Messages that nothing can read, which the run published."""
        self.own_disk = _own_disk(folder / "outbox")
        self._servers: list[Server] = []
        self._closing = threading.Event()
        self._cameras_run = True

    # ── servers ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def start_servers(self) -> None:
        self.redis = PrivateRedis(self.folder / "redis")
        self._servers.append(self.redis.server)
        self.redis.server.start()
        self.s3_endpoint, self.s3 = start_s3(self.folder / "s3")
        self._servers.append(self.s3)
        self.rabbitmq_endpoint, self.rabbitmq = start_rabbitmq(self.folder / "rabbitmq")
        self._servers.append(self.rabbitmq)
        make_virtual_host(self.rabbitmq_endpoint, LINE)
        self.proxies = {
            "rabbitmq": Proxy(self.rabbitmq_endpoint.port),
            "edge": Proxy(self.rabbitmq_endpoint.port),
            "redis": Proxy(self.redis.port),
            "s3": Proxy(self.s3_endpoint.port),
        }
        """`edge` is the way of the cameras to RabbitMQ."""

    def rabbitmqctl(self, *words: str) -> None:
        """Tell the node something."""
        assert isinstance(self.rabbitmq, ChildServer)
        command = [str(program("rabbitmqctl", "rabbitmq-server", "/usr/lib/rabbitmq/bin")), *words]
        subprocess.run(command, env=self.rabbitmq.environment, check=True, capture_output=True, timeout=60)

    def manage(self, method: str, path: str, **content: Any) -> httpx.Response:
        """Ask RabbitMQ's management about the virtual host; ``{vhost}`` in the path stands for it."""
        endpoint: Endpoint = self.rabbitmq_endpoint
        address = f"{endpoint.management_url}/api/{path.replace('{vhost}', LINE)}"
        answer = httpx.request(method, address, auth=(endpoint.user, endpoint.password), timeout=30, **content)
        return answer.raise_for_status()

    def settings(self) -> DashboardSettings:
        """How the run itself reaches the servers, without proxies."""
        values = self._common("DASHBOARD", self.rabbitmq_endpoint.port, self.s3_endpoint.port)
        given: dict[str, Any] = {name.removeprefix("DASHBOARD_").lower(): value for name, value in values.items()}
        return DashboardSettings(**given, redis_url=self.redis.url)

    def broker(self) -> Broker:
        return open_broker(self.settings())

    def store(self) -> ObjectStore:
        return open_store(self.settings())

    # ── processes ────────────────────────────────────────────────────────────────────────────────────────────────────

    def start(self, name: str, **settings: object) -> None:
        """Start a process; its service is the first half of its name."""
        service, prefix = name.partition("-")[0], f"{name.partition('-')[0].upper()}_"
        folder, port = self.folder / name, free_port()
        rabbitmq = self.proxies["edge" if service == "camera" else "rabbitmq"].port
        own = {**settings, "HEALTH_PORT": port, "LOG_FORMAT": "json"}
        environment = {
            **self._common(service.upper(), rabbitmq, self.proxies["s3"].port),
            **{prefix + key: str(value) for key, value in own.items()},
            "PYTHONPATH": str(ROOT),
            "TMPDIR": str(folder / "tmp"),
            "TF_CPP_MIN_LOG_LEVEL": "3",
        }
        self.parts[name] = Part(name, service, environment, folder, port)
        self.parts[name].start()

    def start_services(self) -> None:
        """All but the cameras and the second inference worker."""
        self.start("trainer-1", INITIAL_MODEL=MODEL, WORK_FOLDER=self.folder / "trainings", NAME="trainer-1")
        for number in (1, 2):
            redis = f"redis://127.0.0.1:{self.proxies['redis'].port}"
            self.start(f"dashboard-{number}", REDIS_URL=redis, PORT=free_port())
        self.start_inference(1)
        self.start("explainer-1", THREADS=1)
        threading.Thread(target=self._keep_alive, name="restarts", daemon=True).start()

    def start_inference(self, number: int) -> None:
        self.start(f"inference-{number}", RECIPE="seam", REPORT_SECONDS=1)

    def start_cameras(self, pace: float) -> None:
        """Two cameras that share the pace (frames per second)."""
        for number in (1, 2):
            self.start(
                f"camera-{number}",
                SOURCE=self.images,
                AT_END="loop",
                FRAMES_PER_SECOND=pace / 2,
                LINE=LINE,
                NAME=f"camera-{number}",
                OUTBOX_FOLDER=self.folder / "outbox" if number == 1 else self.folder / "outbox-2",
                REPORT_SECONDS=1,
            )

    def stop_cameras(self) -> None:
        """Ask the cameras to end: each sends what it has and reports its last counts."""
        self._cameras_run = False
        for part in [part for part in self.parts.values() if part.service == "camera"]:
            self.stop(part.name)

    def stop(self, name: str) -> None:
        """Ask a process to end, and note how long it took."""
        self.stops.append((name, round(self.parts[name].stop(), 1)))

    def expects(self, part: Part) -> bool:
        """Whether a process should be running."""
        return self._cameras_run or part.service != "camera"

    def addresses(self) -> list[str]:
        """Of the dashboards."""
        parts = [part for part in self.parts.values() if part.service == "dashboard"]
        return [f"http://127.0.0.1:{part.environment['DASHBOARD_PORT']}" for part in parts]

    def _common(self, service: str, rabbitmq: int, s3: int) -> dict[str, str]:
        return {
            f"{service}_BROKER_URL": f"amqp://127.0.0.1:{rabbitmq}/{LINE}",
            f"{service}_BROKER_USER": self.rabbitmq_endpoint.user,
            f"{service}_BROKER_PASSWORD": self.rabbitmq_endpoint.password,
            f"{service}_STORAGE_URL": f"s3://127.0.0.1:{s3}/{LINE}",
            f"{service}_STORAGE_ACCESS_KEY": self.s3_endpoint.user,
            f"{service}_STORAGE_SECRET_KEY": self.s3_endpoint.password,
        }

    def _keep_alive(self) -> None:
        while not self._closing.wait(RESTART_SECONDS):
            for part in list(self.parts.values()):
                if part.server.alive() or not self.expects(part):
                    continue
                lived = time.monotonic() - part.started
                if not part.asked_to_end:
                    part.asked_to_end = True
                    self.ends.append(End(part.name, part.server.exit_code or 0, round(lived, 1), part.last_words()))
                if not self._closing.is_set() and lived >= part.pause:
                    part.start()

    # ── frames of the run's own ──────────────────────────────────────────────────────────────────────────────────────

    def publish(self, images: Sequence[bytes], camera: str, captured_at: datetime | None = None) -> None:
        """Send frames as a camera does, past the proxies, and note them for the books."""
        session = str(ULID())
        broker = self.broker()
        publisher = broker.publisher()
        confirms = []
        for number, image in enumerate(images):
            frame = FrameIdentity(
                frame_id=frame_id(session, number),
                line=LINE,
                camera=camera,
                captured_at=captured_at or datetime.now(UTC),
            )
            message = FrameCaptured(frame=frame, encoding="jpeg", width=224, height=224, image=image)
            confirms.append(publisher.publish(message))
            self.injected.append(frame.frame_id)
        for confirm in confirms:
            confirm.result(60)
        publisher.close()
        broker.close()

    def poison(self, body: str) -> None:
        """Put bytes that are no message among the frames."""
        content = {"properties": {}, "routing_key": f"captured.{LINE}", "payload": body, "payload_encoding": "string"}
        self.manage("POST", "exchanges/{vhost}/seamline.frames/publish", json=content)
        self.poisoned += 1

    def close(self) -> None:
        """End all processes; each has a guard as well, which ends it when this process is gone."""
        self._closing.set()
        time.sleep(RESTART_SECONDS)
        for part in self.parts.values():
            part.server.remove()
        for server in self._servers:
            server.remove()


@contextmanager
def opened(folder: Path) -> Iterator[Line]:
    """A line whose servers and services run until the end of the block."""
    line = Line(folder)
    try:
        line.start_servers()
        line.start_services()
        yield line
    finally:
        line.close()


def images(folder: Path) -> Path:
    """A folder of seams, one in twenty with a defect, in the order of a video; drawn once."""
    if not folder.exists():
        unfinished = folder.with_name(f"unfinished-{os.getpid()}-{folder.name}")
        unfinished.mkdir(parents=True)
        left = {True: IMAGES - IMAGES // 20, False: IMAGES // 20}
        for number, frame in enumerate(SeamVideo(20, 3 * IMAGES, 224, 0.1, "mixed", swatches(0, 40, None))):
            if left[good := frame.truth.labels["good"]]:
                left[good] -= 1
                (unfinished / f"{number:04}.jpg").write_bytes(encode(frame.image, "jpeg"))
            if not any(left.values()):
                break
        with suppress(OSError):  # another run was faster
            unfinished.rename(folder)
    return folder


def _own_disk(folder: Path) -> bool:
    """Mount a small disk that ends with this process; whether that was possible."""
    folder.mkdir(parents=True)
    libc = ctypes.CDLL(None, use_errno=True)
    if os.geteuid() != 0 or sys.platform != "linux" or libc.unshare(CLONE_NEWNS) != 0:
        return False
    for command in (
        ["mount", "--make-rprivate", "/"],
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_MEGABYTES}m", "tmpfs", str(folder)],
    ):
        if subprocess.run(command, capture_output=True, check=False).returncode:
            return False
    return True


def wait_for_services(line: Line, seconds: float = 180) -> None:
    """Wait until every process says that it is well."""
    wait_until(lambda: all(healthy(part) for part in line.parts.values()), seconds, "all services to be healthy", 0.5)


def healthy(part: Part) -> bool:
    """Whether ``/healthz`` answers 200."""
    try:
        answer = httpx.get(f"http://127.0.0.1:{part.health_port}/healthz", timeout=3, trust_env=False)
    except httpx.HTTPError:
        return False
    return answer.status_code == httpx.codes.OK

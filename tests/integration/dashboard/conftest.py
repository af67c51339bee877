from __future__ import annotations

import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import httpx
import pytest
from redis import Redis, RedisError

from services.dashboard.archive import Archive, read_segment, segments
from services.dashboard.assembly import Dashboard
from services.dashboard.handler import Handler
from services.dashboard.intake import Intake
from services.dashboard.projection import Keys, open_redis
from services.dashboard.settings import DashboardSettings
from shared.messages import Message
from shared.messaging import open_broker
from shared.messaging.port import Broker
from shared.storage import open_store
from shared.storage.port import ObjectStore
from shared.topology import DASHBOARD_VERDICTS, Queue


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(happened: Callable[[], object], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def publish(broker: Broker, *messages: Message) -> None:
    publisher = broker.publisher()
    for confirmed in [publisher.publish(message) for message in messages]:
        confirmed.result(10)
    publisher.close()


@contextmanager
def taking_in(
    broker: Broker, handler: Handler, store: ObjectStore, queue: Queue = DASHBOARD_VERDICTS, prefetch: int = 5_000
) -> Iterator[Intake]:
    stop = threading.Event()
    archive = Archive(store, seconds=0.05, messages=500)
    intake = Intake(broker, queue, handler, archive, prefetch=prefetch, stop=stop)
    intake.start(failed=stop.set)
    yield intake
    stop.set()
    intake.join(1.0)
    archive.close(0.5)
    intake.join()
    assert intake.failure is None


def kept(store: ObjectStore) -> set[bytes]:
    return {message.encode() for key in segments(store) for message in read_segment(store, key)}


def encoded(messages: list[Message]) -> set[bytes]:
    return {message.encode() for message in messages}


class RedisServer:
    """A real Redis that keeps what it has when it is stopped."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        server = shutil.which("redis-server")
        assert server, "install Redis: apt-get install redis-server"
        options = {"port": self.port, "bind": "127.0.0.1", "dir": self.folder, "save": "", "appendonly": "yes"}
        arguments = [part for name, value in options.items() for part in (f"--{name}", str(value))]
        self.process = subprocess.Popen([server, *arguments], stdout=subprocess.DEVNULL)
        wait_until(self._answers)

    def stop(self) -> None:
        if self.process:
            self.process.terminate()
            self.process.wait(10)

    def _answers(self) -> bool:
        try:
            return bool(Redis(port=self.port).ping())
        except RedisError:
            return False


@pytest.fixture(scope="session")
def redis_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server.url
    server.stop()


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """One that a test may stop."""
    folder = tmp_path / "redis"
    folder.mkdir()
    server = RedisServer(folder)
    server.start()
    yield server
    server.stop()


@pytest.fixture(params=["embedded", "server"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> DashboardSettings:
    """Over both Redis adapters, each with a prefix of its own."""
    url = "embedded://" if request.param == "embedded" else request.getfixturevalue("redis_address")
    return DashboardSettings(
        redis_url=url,
        redis_prefix=f"test-{free_port()}",
        broker_url=f"sqlite:///{tmp_path}/broker",
        storage_url=f"file:///{tmp_path}/objects",
        port=free_port(),
        segment_seconds=0.1,
    )


@pytest.fixture
def keys(settings: DashboardSettings) -> Keys:
    return Keys(settings.redis_prefix)


@pytest.fixture
def redis(settings: DashboardSettings) -> Iterator[Redis]:
    client = open_redis(settings)
    yield client
    client.close()


@pytest.fixture
def store(settings: DashboardSettings) -> ObjectStore:
    return open_store(settings)


@pytest.fixture
def broker(settings: DashboardSettings) -> Iterator[Broker]:
    opened = open_broker(settings)
    yield opened
    opened.close()


@pytest.fixture
def handler(redis: Redis, keys: Keys, settings: DashboardSettings) -> Handler:
    return Handler(redis, keys, settings)


@pytest.fixture
def another_handler(redis: Redis, keys: Keys, settings: DashboardSettings) -> Callable[[], Handler]:
    """Another dashboard process on the same Redis."""
    return lambda: Handler(redis, keys, settings)


Open = Callable[..., AbstractContextManager[httpx.Client]]


@pytest.fixture
def open_dashboard(settings: DashboardSettings, redis: Redis, broker: Broker, store: ObjectStore) -> Open:
    """A whole dashboard on a port of its own, and a client that talks to it. Settings may be changed by name."""

    @contextmanager
    def opened(**changes: object) -> Iterator[httpx.Client]:
        changed = DashboardSettings(**{**settings.model_dump(), "port": free_port(), **changes})
        dashboard = Dashboard(changed, redis=redis, broker=broker, store=store, stop=threading.Event())
        with dashboard.running(), httpx.Client(base_url=changed.address, trust_env=False, timeout=10) as client:
            wait_until(lambda: dashboard.rebuilder.built)
            yield client
        assert not dashboard.failed

    return opened

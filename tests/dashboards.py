"""Dashboards for tests: settings with and without servers, messages, and complete dashboards on a port."""

from __future__ import annotations

import gzip
import json
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import unquote, urlsplit

import httpx
import pytest
from pydantic import SecretStr
from redis import Redis, RedisError
from ulid import ULID

from services.dashboard.app import serving_app
from services.dashboard.assembly import Dashboard
from services.dashboard.ingest.archive import Archive, read_segment, segments
from services.dashboard.ingest.queue_ingest import QueueIngest
from services.dashboard.projection import Projection
from services.dashboard.settings import DashboardSettings
from services.dashboard.store.connection import open_redis
from shared.contracts import bundle
from shared.contracts.bundle import HeatmapSpec
from shared.contracts.promotion import Promotion, production_history, store_promotion
from shared.messages import FrameCaptured, Message, decode
from shared.messaging import open_broker
from shared.messaging.port import Broker
from shared.storage.opening import open_store
from shared.storage.port import ObjectStore
from shared.topology import DASHBOARD_VERDICTS, TRAINER_COMMANDS, Queue
from tests.broker_address import BrokerAddress
from tests.conftest import Bucket
from tests.processes import ChildServer, free_port, wait_until
from tests.servers import program
from tests.verdicts import RECIPE, Line


def embedded_settings(folder: Path, **changes: Any) -> DashboardSettings:
    """Return settings as of `make demo`: one machine, no servers."""
    return DashboardSettings(
        **{
            "broker_url": f"sqlite:///{folder}/broker",
            "storage_url": f"file:///{folder}/objects",
            "port": free_port(),
            "segment_seconds": 0.1,
            "ng_hold_seconds": 600,  # what a line shows is not to depend on how busy this machine is
            "silence_seconds": 600,
            "delay_seconds": 600,
            **changes,
        }
    )


@pytest.fixture(name="store")
def opened_store(settings: DashboardSettings) -> ObjectStore:
    """Return the storage of the fixture ``settings``."""
    return open_store(settings)


@pytest.fixture(name="broker")
def opened_broker(settings: DashboardSettings) -> Iterator[Broker]:
    """Yield the broker of the fixture ``settings``."""
    opened = open_broker(settings)
    yield opened
    opened.close()


def redis_of(url: str) -> dict[str, Any]:
    """Return the settings of a Redis whose address may contain a password."""
    parts = urlsplit(url)
    return {
        "redis_url": f"redis://{parts.hostname}:{parts.port}{parts.path}",
        "redis_password": SecretStr(unquote(parts.password or "")),
    }


def server_settings(folder: Path, rabbitmq: BrokerAddress, redis_url: str, bucket: Bucket) -> DashboardSettings:
    """Return settings with RabbitMQ, Redis and S3."""
    return embedded_settings(
        folder,
        broker_url=rabbitmq.url,
        broker_user=rabbitmq.user,
        broker_password=rabbitmq.password,
        storage_url=bucket.url,
        storage_access_key=bucket.access_key,
        storage_secret_key=bucket.secret_key,
        **redis_of(redis_url),
    )


def environment_of(settings: DashboardSettings) -> dict[str, str]:
    """Return the settings as environment variables."""
    values = {name: getattr(settings, name) for name in settings.model_fields_set}
    told = {name: value.get_secret_value() if isinstance(value, SecretStr) else value for name, value in values.items()}
    return {f"DASHBOARD_{name.upper()}": str(value) for name, value in told.items()}


class PrivateRedis:
    """A Redis for one test, which stores its data on disk."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder
        self._saved = folder.with_name(f"{folder.name}-saved")
        self.port = free_port()
        options = {"port": self.port, "bind": "127.0.0.1", "dir": folder, "save": "", "appendonly": "yes"}
        command = [program("redis-server", "redis-server")]
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        self.server = ChildServer([*command, *words], folder / "server.log", self._answers)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def told(self, command: str) -> None:
        """Run a command of words; ``_`` stands for a space within a word."""
        with Redis(port=self.port) as redis:
            redis.execute_command(*(word.replace("_", " ") for word in command.split(" ")))

    def spoil_snapshots(self) -> None:
        """Put a folder where a snapshot would be written."""
        (self._folder / "dump.rdb" / "in the way").mkdir(parents=True)

    def refuses_writes(self) -> bool:
        with Redis(port=self.port) as redis:
            try:
                redis.set("probe", 1)
            except RedisError:
                return True
        return False

    def save(self) -> None:
        """Copy its data on disk."""
        self.server.stop()
        shutil.copytree(self._folder, self._saved)
        self.server.start()

    def go_back(self) -> None:
        """Start with the copy, as after a power failure or from a backup."""
        self.server.stop()
        shutil.rmtree(self._folder)
        shutil.copytree(self._saved, self._folder)
        self.server.start()

    def _answers(self) -> bool:
        try:
            return bool(Redis(port=self.port).ping())
        except RedisError:
            return False


def soon(happened: Callable[[], object], what: str = "it to happen", seconds: float = 120) -> None:
    """Wait until a condition is met; the limit is generous, because the machine may be busy."""
    wait_until(lambda: bool(happened()), seconds, what)


def publish(broker: Broker, *messages: Message) -> None:
    """Publish messages, and wait until the broker has them."""
    publisher = broker.publisher()
    for confirmed in [publisher.publish(message) for message in messages]:
        confirmed.result(60)
    publisher.close()


@contextmanager
def ingesting(
    broker: Broker, projection: Projection, store: ObjectStore, queue: Queue = DASHBOARD_VERDICTS, prefetch: int = 5_000
) -> Iterator[QueueIngest]:
    """Ingest one queue until the block ends."""
    stop = threading.Event()
    archive = Archive(store, seconds=0.05, messages=500, written=projection.watermark.note_written)
    intake = QueueIngest(broker, queue, projection.projector, archive, prefetch=prefetch, stop=stop)
    intake.start(failed=stop.set)
    yield intake
    stop.set()
    intake.join(1.0)
    archive.close(0.5)
    intake.join()
    assert intake.failure is None


def archived_in(store: ObjectStore) -> set[bytes]:
    """Return the messages of the archive."""
    return encoded(message for key in segments(store) for message in read_segment(store, key))


def encoded(messages: Iterable[Message]) -> set[bytes]:
    return {message.encode() for message in messages}


LIMITS = (
    "services.dashboard.web.readiness.OVERDUE_SECONDS",
    "services.dashboard.store.connection.REQUEST_SECONDS",
    "services.dashboard.ingest.command_publisher.CONFIRM_SECONDS",
)
"""The times after which a dashboard refuses a request, because a server seems to be away."""


@contextmanager
def open_dashboard(settings: DashboardSettings, broker: Broker, redis: Redis | None = None) -> Iterator[httpx.Client]:
    """Run a complete dashboard in this process, and yield a client of it.

    Its servers may take any time, as far as a busy machine lets them: `tests.faults.dashboard.test_servers_hang` runs
    a dashboard with the limits of a plant.
    """
    stop = threading.Event()
    with ExitStack() as limits:
        for limit in LIMITS:
            limits.enter_context(patch(limit, 60.0))
        dashboard = Dashboard(
            settings, redis=redis or open_redis(settings), broker=broker, store=open_store(settings), stop=stop
        )
        with (
            dashboard.running(partial(serving_app, settings)),
            httpx.Client(base_url=settings.address, trust_env=False, timeout=60) as client,
        ):
            soon(lambda: dashboard.rebuilder.built, "the projection to be built")
            yield client
        assert not dashboard.failed


def captured(line: Line) -> FrameCaptured:
    """Return the next frame, without a verdict."""
    return FrameCaptured(frame=line.verdict().frame, encoding="jpeg", width=4, height=4, image=b"no image")


def park(broker: Broker, queue: Queue, messages: Sequence[Message], reason: str) -> None:
    """Park messages as a worker that can't handle them."""
    publish(broker, *messages)
    subscription = broker.subscribe(queue, 10)
    for _ in messages:
        (delivery,) = subscription.receive(1, 60.0)
        subscription.park(delivery, reason)
    subscription.close()


def inspected(client: httpx.Client, line: str = "line-1") -> int:
    """Return the number of counted frames of a line."""
    answer = client.get(f"/api/lines/{line}/accounting")
    return int(answer.json()["inspected"]) if answer.status_code == 200 else 0


def commands(broker: Broker, count: int = 1) -> list[Message]:
    """Return the next commands for the trainer, or fewer if no more come."""
    subscription, told = broker.subscribe(TRAINER_COMMANDS, 10), list[Message]()
    while len(told) < count and (deliveries := subscription.receive(10, 60.0)):
        subscription.acknowledge(deliveries)
        told += [decode(delivery.body) for delivery in deliveries]
    subscription.close()
    return told


def put_yesterday(store: ObjectStore, *faults: str | None, model_version: str = "model-1") -> None:
    """Put frames of yesterday into the archive, and the same ones of today: a test may end after midnight."""
    for age in (0, 1):
        noon = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=age)
        line = Line(start=noon)
        content = b"".join(line.verdict(fault, model_version=model_version).encode() for fault in faults)
        store.put(f"verdicts/{noon:%Y-%m-%d}/1200-{ULID()}.jsonl.gz", gzip.compress(content))


def problem(answer: httpx.Response, status: int, says: str) -> None:
    """Check that an answer is a problem by RFC 9457."""
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    details = answer.json()
    assert details["status"] == status
    assert details["title"]
    assert details["type"] == "about:blank"
    assert says in str(details)


def put_in_production(store: ObjectStore, version: str, previous: str | None, **details: bool) -> None:
    """Store a promotion, as the trainer does."""
    promotion = Promotion(
        sequence=len(production_history(store, "seam")) + 1,
        recipe="seam",
        version=version,
        digest="0" * 64,
        previous=previous,
        reason="",
        by="eva",
        at=datetime.now(UTC),
        **details,
    )
    store_promotion(store, promotion)


def put_model(
    store: ObjectStore,
    version: str = "model-1",
    recipe: str = RECIPE,
    dataset: str = "datasets/seam",
    **evaluation: object,
) -> None:
    """Store a model of the recipe of `tests.verdicts`, or of another one of its name, as the trainer does."""
    manifest = bundle.Manifest(
        recipe="seam",
        version=version,
        architecture="compact",
        heatmaps=HeatmapSpec(method="grad-cam", layers=("features",)),
        created_at=datetime(2026, 1, int(version[-1]), tzinfo=UTC),
        dataset=dataset,
        files={},
    )
    content = json.dumps({"loss": 0.25, **evaluation}).encode()
    bundle.write_bundle(store, manifest, {"recipe.yaml": recipe.encode(), "evaluation.json": content})

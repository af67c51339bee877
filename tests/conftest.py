"""What tests of every kind share: real servers, and both brokers behind one port."""

from __future__ import annotations

import json
import os
import pkgutil
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType

import anyio
import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from ulid import ULID

from shared import topology
from shared.messaging.port import Broker
from shared.topology import Queue
from tests import servers
from tests.broker_address import BrokerAddress
from tests.isolation import logging_as_it_was
from tests.processes import WORKERS, Server
from tests.servers import Endpoint
from tests.store_rights import watched_stores

settings.register_profile(
    "alike",
    deadline=None,  # a busy machine may take any time
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("alike")


def import_whole(package: ModuleType) -> None:
    """Import all modules of a package that imports some of them late, in the thread that first needs them.

    pytest rewrites what is imported of a package that brings a plugin along, and in a thread of a server the parser
    sometimes fails at that (CPython issue 106905).
    """
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        with suppress(ImportError):  # of another event loop, which is not installed
            import_module(module.name)


import_whole(anyio)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Every test and its fixtures draw the same random numbers, whatever ran before them."""
    random.seed(0)
    np.random.seed(0)
    if keras := sys.modules.get("keras"):
        keras.utils.set_random_seed(0)


@pytest.fixture(scope="session")
def refused_calls() -> Iterator[list[str]]:
    """Calls of a service to its object storage that its policy in a plant would refuse."""
    refused: list[str] = []
    with watched_stores(refused):
        yield refused


@pytest.fixture(autouse=True)
def _services_keep_to_their_rights(refused_calls: list[str]) -> Iterator[None]:
    refused_calls.clear()
    yield
    assert not refused_calls


@pytest.fixture(autouse=True)
def _logging_stays_as_it_was() -> Iterator[None]:
    with logging_as_it_was():
        yield


@dataclass(frozen=True)
class Bucket:
    """A bucket on a real S3 server, for one test."""

    endpoint: Endpoint
    name: str

    @property
    def url(self) -> str:
        return f"s3://{self.endpoint.host}:{self.endpoint.port}/{self.name}"

    @property
    def access_key(self) -> str:
        return self.endpoint.user

    @property
    def secret_key(self) -> str:
        return self.endpoint.password


@dataclass(frozen=True)
class PrivateRabbit:
    """A RabbitMQ for one test."""

    address: BrokerAddress
    endpoint: Endpoint
    server: Server


def _address(endpoint: Endpoint, virtual_host: str) -> BrokerAddress:
    return BrokerAddress(f"amqp://{endpoint.host}:{endpoint.port}/{virtual_host}", endpoint.user, endpoint.password)


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all workers of a run."""
    folder = tmp_path_factory.getbasetemp()
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


@pytest.fixture(scope="session")
def rabbitmq_server(run_folder: Path) -> Endpoint:
    return servers.shared_server(run_folder, "rabbitmq", servers.find_rabbitmq)


@pytest.fixture(scope="session")
def s3_endpoint(run_folder: Path) -> Endpoint:
    return servers.shared_server(run_folder, "s3", servers.find_s3)


@pytest.fixture
def rabbitmq(rabbitmq_server: Endpoint) -> Iterator[BrokerAddress]:
    """A virtual host of a real RabbitMQ, for one test."""
    name = f"test-{ULID()}"
    servers.make_virtual_host(rabbitmq_server, name)
    yield _address(rabbitmq_server, name)
    servers.drop_virtual_host(rabbitmq_server, name)


@pytest.fixture(scope="session")
def private_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Endpoint, Server]]:
    endpoint, server = servers.start_rabbitmq(tmp_path_factory.mktemp("private") / "rabbitmq")
    yield endpoint, server
    server.remove()


@pytest.fixture
def private_rabbitmq(private_server: tuple[Endpoint, Server]) -> PrivateRabbit:
    """A virtual host of a RabbitMQ that tests may stop, kill and pause; each leaves it running.

    Give them the mark ``xdist_group("private-rabbitmq")``, so that one worker starts one.
    """
    endpoint, server = private_server
    name = f"test-{ULID()}"
    servers.make_virtual_host(endpoint, name)
    return PrivateRabbit(_address(endpoint, name), endpoint, server)


@pytest.fixture
def redis_url(run_folder: Path) -> str:
    """A database of a real Redis, for one test at a time: each worker has one, and it is empty."""
    import redis

    endpoint = servers.shared_server(run_folder, "redis", servers.find_redis)
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    assert number < WORKERS, "Redis has 16 databases: run with fewer workers"
    login = f":{endpoint.password}@" if endpoint.password else ""
    url = f"redis://{login}{endpoint.host}:{endpoint.port}/{number}"
    redis.Redis.from_url(url).flushdb()
    return url


@pytest.fixture
def s3(s3_endpoint: Endpoint) -> Bucket:
    """The name of a bucket for one test on a real S3 server; `open_store` creates it."""
    return Bucket(s3_endpoint, f"test-{str(ULID()).lower()}")


@pytest.fixture
def private_s3(tmp_path: Path) -> Iterator[tuple[Endpoint, Server]]:
    """An S3 server of one test's own, which it may stop and start again."""
    endpoint, server = servers.start_s3(tmp_path / "s3")
    yield endpoint, server
    server.remove()


@pytest.fixture
def sqlite(tmp_path: Path) -> BrokerAddress:
    return BrokerAddress(f"sqlite:///{tmp_path}/broker")


@pytest.fixture(params=["sqlite", "rabbitmq"])
def broker_address(request: pytest.FixtureRequest) -> BrokerAddress:
    """Each test that asks for it runs twice: on the embedded broker, and on a real RabbitMQ."""
    address: BrokerAddress = request.getfixturevalue(request.param)
    return address


@pytest.fixture
def open_broker(broker_address: BrokerAddress) -> Iterator[Callable[..., Broker]]:
    """Opens the same broker each time it is called, as several services do; closes them with the test."""
    opened: list[Broker] = []

    def open_another(queues: Sequence[Queue] = topology.QUEUES) -> Broker:
        opened.append(broker_address.open(queues))
        return opened[-1]

    yield open_another
    for broker in opened:
        broker.close()


@pytest.fixture
def broker(open_broker: Callable[..., Broker]) -> Broker:
    """A broker with the whole topology."""
    return open_broker()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which servers the tests had, and how long they took to start."""
    factory = getattr(terminalreporter.config, "_tmp_path_factory", None)
    if factory is None:
        return
    for kind in ("rabbitmq", "redis", "s3"):
        note = factory.getbasetemp() / f"{kind}.json"
        if note.exists():
            found = json.loads(note.read_text())
            how = found.get("failure") or f"{found['how']}, there after {found['seconds']} s"
            terminalreporter.write_line(f"{kind}: {how}")

"""Each service as a process: it ends when it is told to, whatever hangs, and it ends when one of its threads does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from shared.shutdown import STOP_SECONDS
from tests.broker_address import BrokerAddress
from tests.camera_videos import write_images
from tests.processes import free_port, wait_until
from tests.servers import Endpoint
from tests.soak.proxy import Proxy
from tests.workers import ROOT

SERVICES = ["camera", "inference", "explainer", "trainer", "gateway", "dashboard"]
LEAVING_SECONDS = 45.0
"""For six processes to end on a busy machine, beyond their own deadline."""

Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts services; ``code`` is run in the process before the service."""
    started: list[subprocess.Popen[bytes]] = []
    write_images(tmp_path / "images", ["a.png", "b.png"])

    def start(service: str, address: BrokerAddress | None = None, *, code: str = "", health: int = 0) -> object:
        prefix = f"{service.upper()}_"
        broker = address or BrokerAddress(f"sqlite:///{tmp_path}/broker")
        settings = {
            "STORAGE_URL": f"file:///{tmp_path}/objects",
            "HEALTH_PORT": str(health),
            "REPORT_SECONDS": "0.2",
            "RECIPE": "paint",
            "WORK_FOLDER": f"{tmp_path}/trainings",
            "SOURCE": str(tmp_path / "images"),
            "AT_END": "loop",
            "FOLDER": f"{tmp_path}/gateway",
            "OUTBOX_FOLDER": f"{tmp_path}/outbox",
            "PORT": str(free_port()),
        }
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(prefix)}
        environment = {
            **inherited,
            **broker.environment(prefix),
            **{prefix + name: value for name, value in settings.items()},
            "PYTHONPATH": str(ROOT),
        }
        module = f"services.{service}"
        run = f"import runpy\n{code}\nrunpy.run_module('{module}', run_name='__main__')"
        words = ["-c", run] if code else ["-m", module]
        with (tmp_path / f"{service}.log").open("ab") as log:
            started.append(subprocess.Popen([sys.executable, *words], env=environment, stderr=log, cwd=tmp_path))
        return started[-1]

    yield start  # type: ignore[misc]
    for process in started:
        process.kill()
        process.wait(60)


TOLD_WHILE_IMPORTED = """
import os, signal, sys
class Told:
    def find_spec(self, name, path=None, target=None):
        if name == "pydantic":
            os.kill(os.getpid(), signal.SIGTERM)
sys.meta_path.insert(0, Told())
"""


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_that_is_stopped_while_it_is_imported_ends_with_code_0(start: Start, service: str) -> None:
    assert start(service, code=TOLD_WHILE_IMPORTED).wait(200) == 0


FAILS = """
from shared.messaging.sqlite.publisher import SqlitePublisher
def write(self):
    raise ZeroDivisionError("the publisher's thread fails")
SqlitePublisher._write = write
"""


@pytest.mark.parametrize("service", SERVICES)
def test_a_thread_that_fails_ends_its_service(start: Start, tmp_path: Path, service: str) -> None:
    process = start(service, code=FAILS)
    assert process.wait(300) == 1
    assert "the publisher's thread fails" in (tmp_path / f"{service}.log").read_text()


def test_each_service_stops_in_time_while_rabbitmq_hangs(
    start: Start, rabbitmq: BrokerAddress, rabbitmq_server: Endpoint, tmp_path: Path
) -> None:
    proxy = Proxy(rabbitmq_server.port)
    address = BrokerAddress(
        rabbitmq.url.replace(f":{rabbitmq_server.port}/", f":{proxy.port}/"), rabbitmq.user, rabbitmq.password
    )
    ports = {service: free_port() for service in SERVICES}
    processes = {service: start(service, address, health=port) for service, port in ports.items()}

    def are_connected() -> bool:
        known = management.get(f"/api/vhosts/{rabbitmq.url.rpartition('/')[2]}/connections").json()
        names = [one.get("client_properties", {}).get("connection_name", "") for one in known]
        return all(f"{service} publisher" in names for service in SERVICES)

    login = (rabbitmq_server.user, rabbitmq_server.password)
    with httpx.Client(base_url=rabbitmq_server.management_url, auth=login, timeout=60) as management:
        wait_until(are_connected, 180, "all services to be connected", pause=0.5)
    with proxy.mute():
        began = time.monotonic()
        for process in processes.values():
            process.send_signal(signal.SIGTERM)
        codes = {service: process.wait(120) for service, process in processes.items()}
        assert time.monotonic() - began < STOP_SECONDS + LEAVING_SECONDS
    assert codes == dict.fromkeys(SERVICES, 0)
    proxy.cut()

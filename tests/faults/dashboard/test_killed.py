"""The dashboard as a process: killed, started again, stopped."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from services.dashboard.settings import DashboardSettings
from shared.messaging import open_broker
from shared.messaging.port import Broker
from shared.topology import DASHBOARD_VERDICTS
from tests.broker_address import BrokerAddress
from tests.conftest import Bucket
from tests.dashboards import embedded_settings, environment_of, publish, server_settings, soon
from tests.processes import free_port, listens
from tests.soak.proxy import Proxy
from tests.verdicts import Line

PASSWORD = "umbrella copper thirty lanterns"
COMMAND = [sys.executable, "-m", "services.dashboard"]


@pytest.fixture(params=["embedded", "servers"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> DashboardSettings:
    if request.param == "embedded":
        return embedded_settings(tmp_path, prefetch=150)
    servers = (request.getfixturevalue(name) for name in ("rabbitmq", "redis_url", "s3"))
    return server_settings(tmp_path, *servers).model_copy(update={"prefetch": 150})


@pytest.fixture
def broker(settings: DashboardSettings) -> Iterator[Broker]:
    opened = open_broker(settings)
    yield opened
    opened.close()


@contextmanager
def process(settings: DashboardSettings, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("ab") as file:
        child = subprocess.Popen(COMMAND, env={**os.environ, **environment_of(settings)}, stderr=file)
    try:
        yield child
    finally:
        child.kill()
        child.wait()


def told(settings: DashboardSettings, *arguments: str, **environment: str) -> tuple[int, str]:
    """Return the exit code and the output of a process."""
    ended = subprocess.run(
        [*COMMAND, *arguments],
        check=False,
        env={**os.environ, **environment_of(settings), **environment},
        capture_output=True,
        text=True,
        timeout=400,
    )
    return ended.returncode, ended.stderr


def inspected(client: httpx.Client) -> int:
    try:
        answer = client.get("/api/lines/line-1/accounting")
    except httpx.TransportError:
        return 0
    return int(answer.json()["inspected"]) if answer.status_code == 200 else 0


@pytest.mark.timeout(900)
def test_a_dashboard_that_is_killed_loses_nothing_and_counts_nothing_twice(
    settings: DashboardSettings, broker: Broker, tmp_path: Path
) -> None:
    line, log = Line(), tmp_path / "dashboard.log"
    publish(broker, *line.verdicts(400))
    with httpx.Client(base_url=settings.address, trust_env=False, timeout=60) as client:
        with process(settings, log) as child:
            soon(lambda: inspected(client) > 0, seconds=400)
            child.send_signal(signal.SIGKILL)
            child.wait()
        publish(broker, *line.verdicts(200, seed=2))
        with process(settings, log) as child:
            soon(lambda: inspected(client) == 600, seconds=400)
            soon(lambda: broker.depth(DASHBOARD_VERDICTS.name).total == 0)
            soon(lambda: client.get("/readyz").status_code == 200)
            soon(lambda: inspected(client) == 600)  # a busy dashboard answers 503
            child.send_signal(signal.SIGTERM)
            assert child.wait(200) == 0


@pytest.mark.timeout(900)
def test_two_dashboards_behind_one_address_share_the_queue_and_a_killed_one_costs_no_count(
    rabbitmq: BrokerAddress, redis_url: str, s3: Bucket, tmp_path: Path
) -> None:
    line, login = Line(), {"name": "admin", "password": PASSWORD}
    common = server_settings(tmp_path, rabbitmq, redis_url, s3).model_copy(
        update={"login": True, "first_admin_password": SecretStr(PASSWORD)}
    )
    both = [common.model_copy(update={"port": free_port(), "health_port": free_port()}) for _ in range(2)]
    front = Proxy(*(settings.port for settings in both))
    with (
        closing(open_broker(common)) as broker,
        process(both[0], tmp_path / "first.log"),
        process(both[1], tmp_path / "second.log") as second,
        httpx.Client(base_url=f"http://127.0.0.1:{front.port}", trust_env=False, timeout=60) as client,
    ):
        client.headers["Connection"] = "close"  # so that the requests alternate
        for settings in both:
            soon(partial(is_healthy, settings), seconds=400)
        assert client.post("/api/session", json=login).is_success
        publish(broker, *line.verdicts(400))
        for _ in both:
            soon(lambda: inspected(client) == 400, seconds=400)
        soon(lambda: sum(map(handled_by, both)) == 400)  # acknowledged when it is archived
        handled = [handled_by(settings) for settings in both]
        assert all(handled)
        second.send_signal(signal.SIGSTOP)  # it holds what it gets
        publish(broker, *line.verdicts(200, seed=2))
        soon(lambda: broker.depth(DASHBOARD_VERDICTS.name).ready == 0)
        second.send_signal(signal.SIGKILL)
        second.wait()
        for _ in both:
            soon(lambda: inspected(client) == 600, seconds=400)
        soon(lambda: handled_by(both[0]) == handled[0] + 200)
        soon(lambda: inspected(client) == 600)  # a busy dashboard answers 503


def is_healthy(settings: DashboardSettings) -> bool:
    """Return whether a dashboard reads its queues and serves its pages."""
    if not listens(settings.port):
        return False
    try:
        return httpx.get(f"http://127.0.0.1:{settings.health_port}/healthz", trust_env=False, timeout=60).is_success
    except httpx.TransportError:
        return False


def handled_by(settings: DashboardSettings) -> int:
    """Return how many verdicts a dashboard has acknowledged."""
    metrics = httpx.get(f"http://127.0.0.1:{settings.health_port}/metrics", trust_env=False, timeout=60).text
    found = re.search(r'^seamline_messages_handled_total\{queue="dashboard.verdicts"\} (\S+)$', metrics, re.MULTILINE)
    return int(float(found[1])) if found else 0


def test_rebuilding_by_command_counts_everything_again(settings: DashboardSettings, broker: Broker) -> None:
    code, said = told(settings, "rebuild")
    if settings.embedded:
        assert code == 2
        assert "rebuilds its counts at each start" in said
        assert said.count("\n") == 1
    else:
        assert code == 0
        assert "0 messages of 0 segments; 0 damaged segments" in said


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"DASHBOARD_HOST": "0.0.0.0"}, "DASHBOARD_LOGIN"),
        ({"DASHBOARD_LOGIN": "true"}, "DASHBOARD_FIRST_ADMIN_PASSWORD"),
        ({"DASHBOARD_REDIS_URL": "http://redis"}, "DASHBOARD_REDIS_URL"),
        ({"DASHBOARD_PORT": "taken"}, "DASHBOARD_PORT"),
    ],
)
def test_a_wrong_setting_is_reported_in_one_line(tmp_path: Path, wrong: dict[str, str], says: str) -> None:
    code, said = told(embedded_settings(tmp_path), **wrong)
    assert code == 2
    assert said.count("\n") == 1
    assert says in said

"""The dashboard as a process: killed in the middle, started again, told to stop."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from services.dashboard.settings import DashboardSettings
from shared.messaging import open_broker
from shared.messaging.port import Broker
from shared.topology import DASHBOARD_VERDICTS
from tests.dashboards import embedded_settings, environment_of, publish, server_settings, soon
from tests.verdicts import Line


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
def process(settings: DashboardSettings, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "services.dashboard", *arguments]
    child = subprocess.Popen(command, env={**os.environ, **environment_of(settings)}, stderr=subprocess.PIPE)
    try:
        yield child
    finally:
        child.kill()
        child.wait()


def judged(client: httpx.Client) -> int:
    try:
        answer = client.get("/api/lines/line-1/accounting")
    except httpx.TransportError:
        return 0
    return int(answer.json()["judged"]) if answer.status_code == 200 else 0


@pytest.mark.timeout(900)
def test_a_dashboard_that_is_killed_loses_nothing_and_counts_nothing_twice(
    settings: DashboardSettings, broker: Broker
) -> None:
    line = Line()
    publish(broker, *line.verdicts(400))
    with httpx.Client(base_url=settings.address, trust_env=False, timeout=20) as client:
        with process(settings) as child:
            soon(lambda: judged(client) > 0, seconds=300)
            child.send_signal(signal.SIGKILL)
            child.wait()
        publish(broker, *line.verdicts(200, seed=2))
        with process(settings) as child:
            soon(lambda: judged(client) == 600, seconds=300)
            soon(lambda: broker.depth(DASHBOARD_VERDICTS.name).total == 0)
            soon(lambda: client.get("/readyz").status_code == 200)
            assert judged(client) == 600
            child.send_signal(signal.SIGTERM)
            assert child.wait(30) == 0


def test_rebuilding_by_command_counts_everything_again(settings: DashboardSettings, broker: Broker) -> None:
    with process(settings, "rebuild") as child:
        _, told = child.communicate(timeout=240)
    if settings.embedded:
        assert child.returncode == 2
        assert b"rebuilds its counts at each start" in told
        assert told.count(b"\n") == 1
    else:
        assert child.returncode == 0
        assert b"0 messages of 0 segments; 0 damaged segments" in told


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"DASHBOARD_HOST": "0.0.0.0"}, "DASHBOARD_LOGIN"),
        ({"DASHBOARD_LOGIN": "true"}, "DASHBOARD_FIRST_ADMIN_PASSWORD"),
        ({"DASHBOARD_REDIS_URL": "http://redis"}, "DASHBOARD_REDIS_URL"),
        ({"DASHBOARD_PORT": "taken"}, "DASHBOARD_PORT"),
    ],
)
def test_a_wrong_setting_is_told_in_one_line(tmp_path: Path, wrong: dict[str, str], says: str) -> None:
    settings = embedded_settings(tmp_path)
    command = [sys.executable, "-m", "services.dashboard"]
    ended = subprocess.run(
        command,
        check=False,
        env={**os.environ, **environment_of(settings), **wrong},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert says in ended.stderr

"""The dashboard while a server that it needs accepts connections and does not answer."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from statistics import median

import httpx
import pytest
from pydantic import SecretStr

from services.dashboard.settings import DashboardSettings
from shared.messaging import open_broker
from tests.conftest import Bucket, PrivateRabbit
from tests.dashboards import PrivateRedis, environment_of, inspected, publish, server_settings, soon
from tests.processes import Server
from tests.servers import Endpoint
from tests.verdicts import Line

pytestmark = pytest.mark.xdist_group("private-rabbitmq")

PASSWORD = "umbrella copper thirty lanterns"
PAGES = (
    "/",
    "/quality",
    "/frames",
    "/labelling",
    "/models",
    "/accounting",
    "/people",
    "/audit",
    "/account",
    "/trainings/new",
    "/recipes",
    "/api/docs",
    "/login",
)
QUESTIONS = (
    "/healthz",
    "/readyz",
    "/metrics",
    "/api/session",
    "/api/lines",
    "/api/lines/line-1",
    "/api/lines/line-1/accounting",
    "/api/workers",
    "/api/frames",
    "/api/frames/marked",
    "/api/accounting?from=2026-01-01T00:00:00Z&to=2026-01-02T00:00:00Z",
    "/api/parked",
    "/api/parked/decisions",
    "/api/labelling/sources",
    "/api/models",
    "/api/trainings",
    "/api/datasets",
    "/api/people",
    "/api/tokens",
    "/api/audit",
)
STOPS_WITHIN = 20.0
WITHIN = 2.0
"""Seconds that an answer may take."""
SLACK = 10.0
"""For a test machine that has much else to do; what waits without a limit is not answered at all."""


@pytest.fixture
def servers(
    private_rabbitmq: PrivateRabbit, own_redis: PrivateRedis, private_s3: tuple[Endpoint, Server]
) -> dict[str, Server]:
    return {"broker": private_rabbitmq.server, "redis": own_redis.server, "storage": private_s3[1]}


@pytest.fixture
def settings(
    tmp_path: Path, private_rabbitmq: PrivateRabbit, own_redis: PrivateRedis, private_s3: tuple[Endpoint, Server]
) -> DashboardSettings:
    made = server_settings(tmp_path, private_rabbitmq.address, own_redis.url, Bucket(private_s3[0], "verdicts"))
    return made.model_copy(update={"login": True, "first_admin_password": SecretStr(PASSWORD)})


@contextmanager
def process(settings: DashboardSettings) -> Iterator[subprocess.Popen[bytes]]:
    environment = {**os.environ, **environment_of(settings)}
    environment |= {"DASHBOARD_LOGIN": "true", "DASHBOARD_FIRST_ADMIN_PASSWORD": PASSWORD}
    child = subprocess.Popen([sys.executable, "-m", "services.dashboard"], env=environment)
    try:
        yield child
    finally:
        child.kill()
        child.wait()


@contextmanager
def hanging(server: Server) -> Iterator[None]:
    server.pause()
    try:
        yield
    finally:
        server.resume()


@pytest.fixture
def dashboard(settings: DashboardSettings) -> Iterator[subprocess.Popen[bytes]]:
    with process(settings) as child:
        yield child


@pytest.fixture
def admin(settings: DashboardSettings, dashboard: subprocess.Popen[bytes]) -> Iterator[httpx.Client]:
    """Return an admin who has logged in before the servers hang."""

    def logged_in() -> bool:
        assert dashboard.poll() is None, "the dashboard ended"
        try:
            order = {"name": "admin", "password": PASSWORD}
            return client.post("/api/session", json=order).status_code == 200
        except httpx.TransportError:
            return False

    with httpx.Client(base_url=settings.address, trust_env=False, timeout=60) as client:
        soon(logged_in, "the dashboard to let the admin in", seconds=180)
        with_a_line(settings, client)
        yield client


def with_a_line(settings: DashboardSettings, client: httpx.Client) -> None:
    broker = open_broker(settings)
    publish(broker, *Line().verdicts(3))
    broker.close()
    soon(lambda: inspected(client) == 3 and client.get("/readyz").status_code == 200)


def asked(client: httpx.Client, path: str) -> tuple[httpx.Response, float]:
    accept = "application/json" if path.startswith("/api/") and path != "/api/docs" else "text/html"
    began = time.monotonic()
    answer = client.get(path, headers={"Accept": accept})
    return answer, time.monotonic() - began


SAYS = {"broker": "message broker is away", "redis": "Redis is away", "storage": "Object storage is away"}


def says_nothing_of(name: str, client: httpx.Client) -> bool:
    """Return whether the first page does not say that a server is away."""
    return SAYS[name] not in client.get("/", headers={"Accept": "text/html"}).text


def test_pages_and_reads_are_answered_whatever_hangs(servers: dict[str, Server], admin: httpx.Client) -> None:
    for name, server in servers.items():
        with hanging(server):
            answers = {path: asked(admin, path) for path in (*PAGES, *QUESTIONS)}
            soon(lambda: admin.get("/readyz").status_code == 503, "it to be noticed")
            again = {path: asked(admin, path) for path in PAGES}
        late = {path: seconds for path, (_, seconds) in (answers | again).items() if seconds > WITHIN + SLACK}
        assert not late, f"{name} hangs"
        assert median(seconds for _, seconds in answers.values()) < WITHIN + 1
        for path, (answer, _) in answers.items():
            assert answer.status_code in (200, 503), (name, path, answer.text)
            if answer.status_code == 503 and path in QUESTIONS and path != "/readyz":
                assert answer.headers["content-type"] == "application/problem+json", (name, path)
        silent = {path for path, (answer, _) in again.items() if SAYS[name] not in answer.text}
        assert silent <= {"/api/docs"}, f"{name} hangs, and no page says so"
        if name == "broker":
            unknown = {path for path, (answer, _) in answers.items() if answer.status_code != 200}
            assert unknown <= {"/readyz", "/api/parked"}
        soon(lambda: admin.get("/readyz").status_code == 200, f"{name} to be back")
        soon(partial(says_nothing_of, name, admin))


def test_a_change_is_answered_while_the_broker_or_redis_hangs_and_the_answer_says_whether_it_may_have_been_made(
    servers: dict[str, Server], admin: httpx.Client
) -> None:
    order = {"recipe": "seam", "dataset": "datasets/seam"}
    for name, says in (("broker", "may have taken the request"), ("redis", "")):
        with hanging(servers[name]):
            soon(lambda: admin.get("/readyz").status_code == 503)
            began = time.monotonic()
            answer = admin.post("/api/trainings", json=order)
            assert (answer.status_code, time.monotonic() - began < 8 + SLACK) == (503, True), name
            assert says in answer.json()["detail"]
        soon(lambda: admin.get("/readyz").status_code == 200, f"{name} to be back")


def test_it_stops_in_time_while_all_servers_hang(
    servers: dict[str, Server], admin: httpx.Client, dashboard: subprocess.Popen[bytes]
) -> None:
    with ExitStack() as all_of_them:
        for server in servers.values():
            all_of_them.enter_context(hanging(server))
        assert asked(admin, "/api/lines")[0].status_code == 503
        began = time.monotonic()
        dashboard.send_signal(signal.SIGTERM)
        dashboard.wait(60)
        assert time.monotonic() - began < STOPS_WITHIN + SLACK

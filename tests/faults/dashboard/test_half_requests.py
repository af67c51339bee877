"""Unknown callers who open many connections and send incomplete requests."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from services.dashboard.settings import DashboardSettings
from services.dashboard.web import connections
from shared.messaging import open_broker
from tests.dashboards import embedded_settings, environment_of, open_dashboard, soon
from tests.processes import free_port

DESCRIPTORS = 256
PASSWORD = "umbrella copper thirty lanterns"


@pytest.fixture
def settings(tmp_path: Path) -> DashboardSettings:
    return embedded_settings(
        tmp_path, login=True, first_admin_password=SecretStr(PASSWORD), health_port=free_port(), health_host="127.0.0.1"
    )


@pytest.fixture
def process(settings: DashboardSettings) -> Iterator[subprocess.Popen[bytes]]:
    """A dashboard that may open few files."""
    environment = {**os.environ, **environment_of(settings)}
    command = ["sh", "-c", f'ulimit -n {DESCRIPTORS} && exec "$@"', "sh", sys.executable, "-m", "services.dashboard"]
    child = subprocess.Popen(command, env=environment)
    try:
        yield child
    finally:
        child.kill()
        child.wait()


@pytest.fixture
def half_requests() -> Iterator[Callable[[int, int], list[socket.socket]]]:
    """Opens connections to a port, and sends the beginning of a request on each."""
    with ExitStack() as opened:

        def open_many(port: int, count: int) -> list[socket.socket]:
            made = []
            for _ in range(count):
                connection = opened.enter_context(socket.create_connection(("127.0.0.1", port), 30))
                with suppress(OSError):  # hung up on already
                    connection.sendall(b"GET / HTTP/1.1\r\nHost: ")
                made.append(connection)
            return made

        yield open_many


def answers(address: str) -> int:
    try:
        return httpx.get(address, trust_env=False, timeout=60).status_code
    except httpx.TransportError:
        return 0


def logs_in(settings: DashboardSettings) -> bool:
    order = {"name": "admin", "password": PASSWORD}
    try:
        return httpx.post(f"{settings.address}api/session", json=order, trust_env=False, timeout=60).is_success
    except httpx.TransportError:
        return False


def test_more_incomplete_requests_than_open_files_block_no_login_and_end_nothing(
    settings: DashboardSettings,
    process: subprocess.Popen[bytes],
    half_requests: Callable[[int, int], list[socket.socket]],
) -> None:
    soon(lambda: answers(f"{settings.address}healthz") == 200, "the dashboard to answer", seconds=180)
    for port in (settings.port, settings.health_port):
        half_requests(port, DESCRIPTORS + 150)
    soon(lambda: logs_in(settings), "a login to succeed", seconds=100)
    soon(lambda: answers(f"http://127.0.0.1:{settings.health_port}/healthz") == 200, "health to be told", seconds=100)
    assert process.poll() is None


def test_an_incomplete_request_has_a_time_limit(
    settings: DashboardSettings,
    monkeypatch: pytest.MonkeyPatch,
    half_requests: Callable[[int, int], list[socket.socket]],
) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.5)
    broker = open_broker(settings)
    with open_dashboard(settings.model_copy(update={"login": False}), broker):
        (half,) = half_requests(settings.port, 1)
        half.settimeout(100)
        with suppress(ConnectionResetError):
            assert half.recv(1) == b""
    broker.close()


def test_an_answer_that_is_not_read_has_a_time_limit(
    settings: DashboardSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut, end = threading.Event(), connections.BoundedProtocol.abort

    def tell(connection: connections.BoundedProtocol) -> None:
        end(connection)
        cut.set()

    monkeypatch.setattr(connections, "UNREAD_SECONDS", 0.5)
    monkeypatch.setattr(connections.BoundedProtocol, "abort", tell)
    broker = open_broker(settings)
    with open_dashboard(settings, broker), socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect(("127.0.0.1", settings.port))
        deaf.settimeout(0.1)
        ask = f"GET /static/seamline.css HTTP/1.1\r\nHost: 127.0.0.1:{settings.port}\r\n\r\n".encode()
        deadline = time.monotonic() + 100
        while not cut.is_set() and time.monotonic() < deadline:
            with suppress(OSError):  # it is full, or hung up on already
                deaf.sendall(ask * 10)
        assert cut.wait(1)
    broker.close()


def test_the_body_of_a_login_has_a_time_limit(settings: DashboardSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.dashboard.web.guard.OPEN_BODY_SECONDS", 0.5)
    broker = open_broker(settings)
    with (
        open_dashboard(settings.model_copy(update={"login": False}), broker),
        socket.create_connection(("127.0.0.1", settings.port), 30) as half,
    ):
        head = f"POST /api/session HTTP/1.1\r\nHost: 127.0.0.1:{settings.port}\r\n"
        half.sendall(f"{head}Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{".encode())
        assert half.recv(1000).startswith(b"HTTP/1.1 400")
    broker.close()

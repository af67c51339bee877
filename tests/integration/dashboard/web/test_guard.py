"""The guard refuses other host names and pages of other sites."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from services.dashboard.lines.schemas import LineState
from services.dashboard.lines.service import LinesService
from services.dashboard.settings import DashboardSettings
from shared.messaging.port import Broker
from shared.topology import TRAINER_COMMANDS
from tests.dashboards import embedded_settings, open_dashboard, problem

ORDER = {"recipe": "seam", "dataset": "datasets/seam"}


@pytest.fixture
def settings(tmp_path: Path, request: pytest.FixtureRequest) -> DashboardSettings:
    return embedded_settings(tmp_path, **getattr(request, "param", {}))


@pytest.fixture
def client(settings: DashboardSettings, broker: Broker) -> Iterator[httpx.Client]:
    with open_dashboard(settings, broker) as opened:
        yield opened


def test_another_host_name_of_this_machine_is_refused(client: httpx.Client) -> None:
    for host in ("evil.example", "evil.example:8000", "127.0.0.1.evil.example", "", "localhost@evil.example", "[::1"):
        answer = client.get("/api/lines", headers={"Host": host})
        assert answer.status_code in (400, 421), host
        assert "lines" not in answer.text


def test_host_names_of_loopback_are_allowed(client: httpx.Client) -> None:
    for host in ("localhost", "LOCALHOST:8000", "127.0.0.1:1", "[::1]:8000"):
        assert client.get("/api/lines", headers={"Host": host}).status_code == 200, host


@pytest.mark.parametrize("settings", [{"allowed_hosts": "qc.plant.example, Qc2"}], indirect=True)
def test_other_host_names_can_be_allowed(client: httpx.Client) -> None:
    assert client.get("/api/lines", headers={"Host": "qc.plant.example"}).status_code == 200
    assert client.get("/api/lines", headers={"Host": "qc2:8000"}).status_code == 200
    assert client.get("/api/lines", headers={"Host": "127.0.0.1"}).status_code == 421


FOREIGN = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://["},
    {"Origin": "http://127.0.0.1:1"},
    {"Sec-Fetch-Site": "cross-site", "Content-Type": "text/plain"},
]


def test_a_page_of_another_site_can_change_nothing(client: httpx.Client, broker: Broker) -> None:
    for headers in FOREIGN:
        answer = client.post("/api/trainings", json=ORDER, headers=headers)
        assert answer.status_code == 403, headers
        assert client.delete("/api/trainings/training-1", headers=headers).status_code == 403, headers
    assert broker.depth(TRAINER_COMMANDS.name).total == 0


def test_pages_of_the_dashboard_and_programs_can_request_changes(client: httpx.Client) -> None:
    own = str(client.base_url).rstrip("/")
    for headers in ({"Sec-Fetch-Site": "same-origin", "Origin": own}, {"Origin": own}, {}):
        assert client.post("/api/trainings", json=ORDER, headers=headers).status_code == 202


def test_browsers_run_no_scripts_of_other_sites(client: httpx.Client) -> None:
    headers = client.get("/").headers
    assert "default-src 'self'" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert "server" not in headers


def test_browsers_store_no_answers_and_give_pages_no_devices(client: httpx.Client) -> None:
    for path in ("/", "/api/lines", "/api/session", "/nothing", "/api/lines/nothing"):
        headers = client.get(path).headers
        assert headers["cache-control"] == "no-store", path
        assert "camera=()" in headers["permissions-policy"], path
        assert "strict-transport-security" not in headers
    assert "no-store" not in client.get("/static/seamline.css").headers.get("cache-control", "")


@pytest.mark.parametrize("settings", [{"trusted_proxies": "127.0.0.1"}], indirect=True)
def test_a_browser_behind_an_https_proxy_gets_strict_transport_security(client: httpx.Client) -> None:
    headers = client.get("/", headers={"X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.1"}).headers
    assert "max-age" in headers["strict-transport-security"]


def test_only_a_trusted_proxy_may_say_that_a_request_came_by_https(client: httpx.Client) -> None:
    headers = client.get("/", headers={"X-Forwarded-Proto": "https"}).headers
    assert "strict-transport-security" not in headers


def test_every_error_is_problem_details(client: httpx.Client, settings: DashboardSettings) -> None:
    json = {"Content-Type": "application/json"}
    problem(client.get("/api/nothing"), 404, "Not Found")
    problem(client.put("/api/lines", json={}), 405, "Method Not Allowed")
    problem(client.post("/api/trainings", content=b"{", headers=json), 422, "body")
    problem(client.post("/api/trainings", content=b" " * 2_000_000, headers=json), 413, "send less")
    problem(client.post("/api/trainings", content=(b" " * 65_536 for _ in range(20)), headers=json), 413, "send less")
    with socket.create_connection((settings.host, settings.port), 60) as connection:
        connection.sendall(b"no request\r\n\r\n")
        answer = connection.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"application/problem+json" in answer


def test_an_unexpected_error_is_a_problem_too_and_has_the_same_headers(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_self: LinesService) -> list[LineState]:
        raise RuntimeError("nobody foresaw this")

    monkeypatch.setattr(LinesService, "states", fail)
    answer = client.get("/api/lines")
    problem(answer, 500, "the log has it")
    assert (answer.headers["cache-control"], answer.headers["x-content-type-options"]) == ("no-store", "nosniff")

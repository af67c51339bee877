"""Times in queries: every endpoint accepts times within the same bounds."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Final

import httpx
import pytest

from services.dashboard.settings import DashboardSettings
from shared.messaging.port import Broker
from tests.dashboards import embedded_settings, inspected, problem, publish, soon
from tests.verdicts import Line

FAR: Final = ("0001-01-01T05:00:00+14:00", "1989-12-31T23:59:59Z", "2201-01-01T00:00:01Z", "9999-12-31T23:59:59Z")
EDGES: Final = ("1990-01-01T14:00:00+14:00", "2200-12-31T10:00:00-14:00")
ENDPOINTS: Final = {
    "/api/accounting",
    "/api/audit",
    "/api/audit/table.csv",
    "/api/frames",
    "/api/labelling/annotations",
    "/api/lines/line-1/rates",
    "/api/quality/breakdown",
    "/api/quality/breakdown.csv",
    "/api/quality",
    "/api/quality/comparison",
    "/api/quality/table.csv",
}
PAGES: Final = ("/quality", "/frames", "/audit", "/labelling/history")


@pytest.fixture
def settings(tmp_path: Path) -> DashboardSettings:
    return embedded_settings(tmp_path, time_zone="Pacific/Kiritimati")


@pytest.fixture
def times(client: httpx.Client, broker: Broker) -> set[tuple[str, str]]:
    """Each endpoint with each of its times, as the API's document has them; there is a line to ask about."""
    publish(broker, Line().verdict())
    soon(lambda: inspected(client) == 1)
    paths = client.get("/api/openapi.json").json()["paths"]
    return {
        (path.replace("{line}", "line-1"), parameter["name"])
        for path, operations in paths.items()
        for parameter in operations.get("get", {}).get("parameters", [])
        if "date-time" in str(parameter["schema"])
    }


def test_a_time_out_of_bounds_is_refused_by_every_endpoint(client: httpx.Client, times: set[tuple[str, str]]) -> None:
    assert {path for path, _ in times} == ENDPOINTS
    for path, name in times:
        for moment in FAR:
            problem(client.get(path, params={name: moment}), 422, f"query.{name}: give a time from 1990-01-01")


def test_the_earliest_and_the_latest_time_are_accepted(client: httpx.Client, times: set[tuple[str, str]]) -> None:
    for path, name in times:
        for moment in EDGES:
            assert client.get(path, params={name: moment}).status_code in (200, 422), (path, name, moment)


def test_a_page_shows_no_server_error_for_a_time_out_of_bounds(client: httpx.Client) -> None:
    moments = ("0001-01-01T00:00", "9999-12-31T23:59", *FAR)
    for page, name, moment in product(PAGES, ("from", "to", "against_from"), moments):
        assert client.get(page, params={name: moment}).status_code == 200, (page, name, moment)

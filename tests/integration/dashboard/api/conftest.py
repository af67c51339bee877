"""The API over a real HTTP server, in both ways to run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from services.dashboard.settings import DashboardSettings
from shared.messaging.port import Broker
from tests.dashboards import embedded_settings, open_dashboard, server_settings


@pytest.fixture(params=["embedded", "servers"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> DashboardSettings:
    if request.param == "embedded":
        return embedded_settings(tmp_path)
    return server_settings(tmp_path, *(request.getfixturevalue(name) for name in ("rabbitmq", "redis_url", "s3")))


@pytest.fixture
def client(settings: DashboardSettings, broker: Broker) -> Iterator[httpx.Client]:
    with open_dashboard(settings, broker) as opened:
        yield opened

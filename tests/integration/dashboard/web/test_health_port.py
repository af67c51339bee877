"""The port for health and metrics."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import httpx
from pydantic import SecretStr

from tests.dashboards import embedded_settings, environment_of, soon
from tests.processes import free_port


def test_health_and_metrics_have_a_port_without_a_login(tmp_path: Path) -> None:
    settings = embedded_settings(
        tmp_path, login=True, first_admin_password=SecretStr("correct horse battery"), health_port=free_port()
    )
    watched = f"http://127.0.0.1:{settings.health_port}"

    def answers(address: str) -> int:
        try:
            return httpx.get(address, trust_env=False, timeout=60).status_code
        except httpx.TransportError:
            return 0

    environment = {**os.environ, **environment_of(settings)}
    child = subprocess.Popen([sys.executable, "-m", "services.dashboard"], env=environment)
    try:
        soon(lambda: answers(f"{settings.address}healthz") == 200, "the dashboard to answer", seconds=400)
        assert answers(f"{watched}/healthz") == 200
        assert "seamline_messages_held" in httpx.get(f"{watched}/metrics", trust_env=False, timeout=60).text
        assert answers(f"{settings.address}metrics") == 401
        assert answers(f"{watched}/api/lines") == 404
    finally:
        child.terminate()
        child.wait(200)

"""Alert rules and dashboard name metrics that the services have, and every alert has a runbook."""

from __future__ import annotations

import importlib
import json
import re
import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import pytest
import typer
import urllib3
import yaml
from prometheus_client import REGISTRY, generate_latest
from typer.testing import CliRunner

from deploy.monitoring import panel_data
from deploy.monitoring.__main__ import ROWS, make_dashboard
from shared.certificates import expiry_of
from tests.processes import ChildServer, free_port, listens
from tests.servers import program
from tests.unit.test_compose import EVERYTHING, FLOW, ROOT

FOLDER: Final = ROOT / "deploy" / "monitoring"
RULES: Final[list[dict[str, Any]]] = [
    rule for group in yaml.safe_load((FOLDER / "rules.yml").read_text())["groups"] for rule in group["rules"]
]
RABBITMQ: Final = {
    "rabbitmq_detailed_queue_messages_ready",
    "rabbitmq_alarms_free_disk_space_watermark",
    "rabbitmq_alarms_memory_used_watermark",
}
"""Metrics of the server; `tests/integration/test_rabbitmq_metrics.py` finds them there."""
PROMETHEUS: Final = {"up", "ALERTS"}
NAME: Final = re.compile(r"\b((?:seamline|dashboard|rabbitmq|process)_\w+|up|ALERTS)\b(?=[{\[ )]|$)")


@pytest.fixture(scope="module")
def exposed() -> set[str]:
    """The names in /metrics of all services."""
    for service in FLOW:
        importlib.import_module(f"services.{service}.__main__")
    importlib.import_module("services.trainer.jobs.runner")
    importlib.import_module("services.explainer.metrics")
    described = re.findall(r"^# TYPE (\S+) (\S+)$", generate_latest(REGISTRY).decode(), re.MULTILINE)
    endings = {"histogram": ("_bucket", "_sum", "_count")}
    return {name + ending for name, kind in described for ending in endings.get(kind, ("",))}


def queries() -> list[str]:
    panels = [panel for panel in make_dashboard()["panels"] if "targets" in panel]
    variables = [variable["query"]["query"] for variable in make_dashboard()["templating"]["list"]]
    shown = [target["expr"] for panel in panels for target in panel["targets"]]
    return [*(rule["expr"] for rule in RULES), *shown, *(query.replace(",", " ") for query in variables)]


def test_every_metric_in_rules_and_dashboard_exists(exposed: set[str]) -> None:
    named = {name for query in queries() for name in NAME.findall(query)}
    assert len(named) > 20
    assert named - exposed - RABBITMQ - PROMETHEUS == set()


def test_every_alert_has_a_runbook_and_every_runbook_an_alert() -> None:
    runbooks = {rule["annotations"]["runbook_url"] for rule in RULES}
    assert all((ROOT / runbook).is_file() for runbook in runbooks)
    assert {Path(runbook) for runbook in runbooks} == {
        path.relative_to(ROOT) for path in (ROOT / "docs" / "runbooks").glob("*.md")
    }
    assert {rule["labels"]["severity"] for rule in RULES} == {"page", "ticket"}


def test_every_alert_is_listed_in_the_operations() -> None:
    text = (ROOT / "docs" / "operations.md").read_text()
    assert [rule["alert"] for rule in RULES if rule["alert"] not in text] == []


def test_prometheus_accepts_configuration_rules_and_queries_and_the_rules_pass_their_tests(tmp_path: Path) -> None:
    promtool = program("promtool", "prometheus")
    config = (FOLDER / "prometheus.yml").read_text().replace("/etc/prometheus/rules.yml", str(FOLDER / "rules.yml"))
    (tmp_path / "prometheus.yml").write_text(config)
    shown = [target["expr"] for panel in make_dashboard()["panels"] for target in panel.get("targets", [])]
    panels = [{"record": f"panel:{number}", "expr": query.replace("$line", ".*")} for number, query in enumerate(shown)]
    (tmp_path / "panels.yml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": panels}]}))
    for command in (
        ("check", "config", str(tmp_path / "prometheus.yml")),
        ("test", "rules", str(FOLDER / "rules.test.yml")),
        ("check", "rules", "--lint=none", str(tmp_path / "panels.yml")),
    ):
        done = subprocess.run([promtool, *command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_panels_of_the_dashboard_are_asked_of_a_prometheus(tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "prometheus.yml").write_text("global: {}\n")
    command: list[str | Path] = [
        program("prometheus", "prometheus"),
        f"--config.file={tmp_path}/prometheus.yml",
        f"--storage.tsdb.path={tmp_path}/data",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    server = ChildServer(command, tmp_path / "log", lambda: is_ready(port))
    server.start()
    try:
        asked = CliRunner().invoke(panel_data_app(), [f"http://127.0.0.1:{port}"])
    finally:
        server.remove()
    assert asked.exit_code == 0, asked.output
    assert "   1 series  Now: Alerts" in asked.output
    assert f"1 of {sum(map(len, ROWS.values()))} panels have data" in asked.output
    refused = CliRunner().invoke(panel_data_app(), [f"http://127.0.0.1:{port}"])
    assert refused.exit_code == 1
    assert "does not answer as Prometheus" in refused.output


def test_a_prometheus_that_is_starting_is_told_from_another_server() -> None:
    class Starting(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(503)

    with ThreadingHTTPServer(("127.0.0.1", 0), Starting) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        asked = CliRunner().invoke(panel_data_app(), [f"http://127.0.0.1:{server.server_address[1]}"])
    assert asked.exit_code == 1
    assert "answers with status 503" in asked.output


def is_ready(port: int) -> bool:
    """Return whether Prometheus answers queries: it listens some time before."""
    if not listens(port):
        return False
    return urllib3.request("GET", f"http://127.0.0.1:{port}/-/ready", timeout=5, retries=False).status == 200


def panel_data_app() -> typer.Typer:
    app = typer.Typer()
    app.command()(panel_data.main)
    return app


def test_every_service_is_asked_for_its_metrics() -> None:
    jobs = {job["job_name"] for job in yaml.safe_load((FOLDER / "prometheus.yml").read_text())["scrape_configs"]}
    assert jobs >= {*FLOW, "rabbitmq", "rabbitmq-queues"}
    mounted = " ".join(EVERYTHING["prometheus"]["volumes"] + EVERYTHING["grafana"]["volumes"])
    for file in ("prometheus.yml", "rules.yml", "grafana/datasource.yml", "grafana/dashboards.yml"):
        assert f"./deploy/monitoring/{file}:" in mounted


def test_the_dashboard_is_the_one_of_the_code_and_its_panels_do_not_overlap() -> None:
    written = (FOLDER / "grafana" / "seamline.json").read_text()
    assert json.loads(written) == make_dashboard(), (
        "run: python -m deploy.monitoring > deploy/monitoring/grafana/seamline.json"
    )
    cells = [
        (x, y)
        for panel in make_dashboard()["panels"]
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    source = yaml.safe_load((FOLDER / "grafana" / "datasource.yml").read_text())["datasources"][0]
    assert {
        target["datasource"]["uid"] for panel in make_dashboard()["panels"] for target in panel.get("targets", [])
    } == {source["uid"]}


def test_the_expiry_of_a_certificate_is_read_from_its_file(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = f"openssl req -x509 -newkey ed25519 -nodes -days 30 -subj /CN=camera -keyout {key} -out {certificate}"
    subprocess.run(command.split(), check=True, capture_output=True)
    said = subprocess.run(
        ["openssl", "x509", "-noout", "-enddate", "-in", certificate], check=True, capture_output=True, text=True
    ).stdout
    assert expiry_of(certificate) == ssl.cert_time_to_seconds(said.strip().removeprefix("notAfter="))
    key.write_text("no certificate")
    assert str(expiry_of(key)) == "nan"

"""The audit log is written before each action."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from services.dashboard.access.audit import AuditEntry
from services.dashboard.settings import DashboardSettings
from shared.messaging.port import Broker
from shared.storage.port import ObjectStore
from tests.dashboards import embedded_settings, open_dashboard, opened_broker, opened_store, problem

__all__ = ["opened_broker", "opened_store"]


@pytest.fixture
def settings(tmp_path: Path) -> DashboardSettings:
    return embedded_settings(tmp_path)


@pytest.fixture
def client(settings: DashboardSettings, broker: Broker) -> Iterator[httpx.Client]:
    with open_dashboard(settings, broker) as opened:
        yield opened


def written(store: ObjectStore) -> list[AuditEntry]:
    return [AuditEntry.model_validate_json(store.get(key)) for key in store.keys("audit/")]


def test_a_training_is_in_the_audit_log_with_its_author(client: httpx.Client, store: ObjectStore) -> None:
    assert client.post("/api/trainings", json={"recipe": "seam", "dataset": "seam"}).status_code == 202
    (entry,) = written(store)
    assert (entry.by, entry.action, entry.subject, entry.failed) == ("local", "training.request", "seam", None)
    assert entry.details["dataset"] == "seam"


def test_a_failed_action_is_in_the_audit_log_with_its_reason(client: httpx.Client, store: ObjectStore) -> None:
    problem(client.delete("/api/trainings/training-1"), 404, "no such training")
    asked, failed = written(store)
    assert (asked.failed, failed.id) == (None, asked.id)
    assert "no such training" in str(failed.failed)


def test_a_truncated_cursor_of_the_audit_log_is_refused(client: httpx.Client) -> None:
    assert client.get("/audit", params={"before": "01JF6Z6TX4"}).status_code == 422

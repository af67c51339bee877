"""The first admin is made even if storage is away at the start."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from services.dashboard.access import first_admin
from services.dashboard.access.audit import Audit
from services.dashboard.access.first_admin import ensure_first_admin
from services.dashboard.access.people import People
from services.dashboard.access.repository import PeopleRepository
from services.dashboard.settings import DashboardSettings
from shared.storage.filesystem import FilesystemStore
from shared.storage.port import StorageUnavailable
from tests.dashboards import soon

SETTINGS = DashboardSettings(first_admin_password=SecretStr("umbrella copper thirty lanterns"))


class Remote(FilesystemStore):
    """A store that can be away."""

    away = False

    def keys(self, prefix: str) -> Iterator[str]:
        if self.away:
            raise StorageUnavailable("the object store can't be reached")
        return super().keys(prefix)


@pytest.fixture
def store(tmp_path: Path) -> Remote:
    return Remote(tmp_path)


@pytest.fixture
def stop() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def admins(store: Remote) -> set[str]:
    return People(PeopleRepository(store), Audit(store)).directory().admins


def test_the_first_admin_is_made_when_the_storage_is_back(
    store: Remote, stop: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(first_admin, "RETRY_SECONDS", 0.02)
    store.away = True
    ensure_first_admin(store, SETTINGS, stop)
    store.away = False
    soon(lambda: admins(store) == {"admin"})

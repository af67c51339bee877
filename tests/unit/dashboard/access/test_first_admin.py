"""The first admin is made even if storage is away at the start."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
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
    """A store that can be away, and that other dashboards use."""

    away = False
    before_second_read: Callable[[], None] | None = None
    """What another dashboard does between two reads of the people."""
    reads = 0

    def keys(self, prefix: str) -> Iterator[str]:
        if self.away:
            raise StorageUnavailable("the object store can't be reached")
        self.reads += prefix == "people/"
        if self.reads == 2 and self.before_second_read:
            self.before_second_read()
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


def test_two_dashboards_that_start_together_make_one_first_admin(
    store: Remote, stop: threading.Event, tmp_path: Path
) -> None:
    store.before_second_read = lambda: ensure_first_admin(FilesystemStore(tmp_path), SETTINGS, stop)
    ensure_first_admin(store, SETTINGS, stop)
    assert store.reads >= 2
    assert admins(store) == {"admin"}

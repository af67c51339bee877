"""Add the first admin, with a password from the settings."""

from __future__ import annotations

import threading
from typing import Final

import structlog

from services.dashboard.access.audit import Audit, audit_store
from services.dashboard.access.people import FIRST_ADMIN, People
from services.dashboard.access.repository import PeopleRepository
from services.dashboard.settings import DashboardSettings
from services.dashboard.web.problems import Problem
from shared.errors import CannotStart
from shared.storage.port import ObjectStore, StorageError, StorageUnavailable

RETRY_SECONDS: Final = 5.0
"""Seconds between two attempts while object storage is unavailable."""

_log = structlog.stdlib.get_logger("access")


class NoAdmin(CannotStart):
    """There is no admin and none can be added; the message says what to do."""


def ensure_first_admin(store: ObjectStore, settings: DashboardSettings, stop: threading.Event) -> None:
    """Add the first admin, unless there is an admin.

    If object storage is unavailable, a thread repeats this until ``stop`` is set.

    Raises:
        NoAdmin: there is no admin, and none can be added.
    """
    people = People(PeopleRepository(store), Audit(audit_store(settings, store)))
    password = settings.first_admin_password.get_secret_value()

    def try_again() -> None:
        while not stop.wait(RETRY_SECONDS):
            try:
                _ensure(people, password)
            except StorageUnavailable:
                continue
            except (NoAdmin, StorageError) as error:
                _log.error("no person can log in", reason=str(error))
            return

    try:
        _ensure(people, password)
    except StorageUnavailable as error:
        _log.warning("can't check that there is an admin", reason=str(error))
        threading.Thread(target=try_again, name="first-admin", daemon=True).start()


def _ensure(people: People, password: str) -> None:
    try:
        if people.make_first(password):
            _log.info("made the first admin", person=FIRST_ADMIN)
        elif not people.directory().admins:
            raise NoAdmin(
                "there is no admin: set DASHBOARD_FIRST_ADMIN_PASSWORD, "
                "or run python -m services.dashboard people add NAME --role admin"
            )
    except Problem as problem:
        if people.directory().admins:
            return  # another dashboard, which started at the same time, has made the first admin
        raise NoAdmin(f"DASHBOARD_FIRST_ADMIN_PASSWORD: {problem}") from None

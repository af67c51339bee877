"""The first admin: made once, with the secret of the set-up."""

from __future__ import annotations

import threading
from typing import Final

import structlog

from services.dashboard.access.audit import Audit, audit_store
from services.dashboard.access.people import FIRST, People
from services.dashboard.access.repository import Register
from services.dashboard.settings import DashboardSettings
from services.dashboard.web.problems import Problem
from shared.storage.port import ObjectStore, StorageError, StorageUnavailable

LOOK_SECONDS: Final = 5.0
"""Between two looks while object storage is away."""

_log = structlog.stdlib.get_logger("access")


class NoAdmin(StorageError):
    """Nobody could ever log in and make others; the message says what to do."""


def await_first_admin(store: ObjectStore, settings: DashboardSettings, stop: threading.Event) -> None:
    """Make the first admin, unless there is an admin.

    While object storage is away nobody can log in either: it is made up for as soon as that is back, until ``stop``.

    Raises:
        NoAdmin: there is none, and none can be made.
    """
    people, password = (
        People(Register(store), Audit(audit_store(settings, store))),
        settings.first_admin_password.get_secret_value(),
    )
    try:
        _make(people, password)
    except StorageUnavailable as error:
        _log.warning("can't look whether there is an admin", reason=str(error))
        threading.Thread(target=_make_later, args=(people, password, stop), name="first-admin", daemon=True).start()


def _make_later(people: People, password: str, stop: threading.Event) -> None:
    while not stop.wait(LOOK_SECONDS):
        try:
            _make(people, password)
        except StorageUnavailable:
            continue
        except StorageError as error:
            _log.error("nobody can log in", reason=str(error))
        return


def _make(people: People, password: str) -> None:
    try:
        if people.make_first(password):
            _log.info("made the first admin", person=FIRST)
        elif not people.look().admins:
            raise NoAdmin(
                "there is no admin: set DASHBOARD_FIRST_ADMIN_PASSWORD, "
                "or run python -m services.dashboard people add NAME --role admin"
            )
    except Problem as problem:
        raise NoAdmin(f"DASHBOARD_FIRST_ADMIN_PASSWORD: {problem}") from None

"""The first admin: made once, with the secret of the set-up."""

from __future__ import annotations

import structlog

from services.dashboard.access.audit import Audit
from services.dashboard.access.people import FIRST, People
from services.dashboard.access.register import Register
from services.dashboard.problems import Problem
from services.dashboard.settings import DashboardSettings
from shared.storage.port import ObjectStore, StorageError, StorageUnavailable

_log = structlog.stdlib.get_logger("access")


class NoAdmin(StorageError):
    """Nobody could ever log in and make others; the message says what to do."""


def await_first_admin(store: ObjectStore, settings: DashboardSettings) -> None:
    """Make the first admin, unless there is an admin.

    While object storage is away nobody can log in either; the next start makes it up.

    Raises:
        NoAdmin: there is none, and none can be made.
    """
    people = People(Register(store), Audit(store))
    try:
        if people.make_first(settings.first_admin_password.get_secret_value()):
            _log.info("made the first admin", person=FIRST)
        elif not people.look().admins:
            raise NoAdmin(
                "there is no admin: set DASHBOARD_FIRST_ADMIN_PASSWORD, "
                "or run python -m services.dashboard people add NAME --role admin"
            )
    except Problem as problem:
        raise NoAdmin(f"DASHBOARD_FIRST_ADMIN_PASSWORD: {problem}") from None
    except StorageUnavailable as error:
        _log.warning("can't look whether there is an admin", reason=str(error))

"""The command that rebuilds the projection, with a progress bar."""

from __future__ import annotations

import sys
import threading

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from services.dashboard.ingest.rebuild import Rebuilder
from services.dashboard.settings import DashboardSettings
from services.dashboard.store.projection import Keys, check_login, open_redis
from shared.health import configure_logging
from shared.settings import read_settings
from shared.storage import open_store


def rebuild_with_progress(_stop: threading.Event) -> None:
    """Forget the projection, read the archive, say what was found."""
    settings = read_settings(DashboardSettings)
    configure_logging("dashboard", settings)
    if settings.embedded:
        sys.stderr.write("DASHBOARD_REDIS_URL is embedded://: such a dashboard rebuilds its counts at each start\n")
        raise SystemExit(2)
    redis = open_redis(settings)
    check_login(redis)
    rebuilder = Rebuilder(redis, Keys(settings.redis_prefix), settings, open_store(settings))
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("segments", total=None)
        found = rebuilder.build(lambda done, of: bar.update(task, completed=done, total=of), from_nothing=True)
    if found is None:
        sys.stderr.write("another process is rebuilding: wait for it\n")
        raise SystemExit(2)
    console.print(f"{found.messages} messages of {found.segments} segments; {found.damaged} damaged segments")
    if found.damaged:
        raise SystemExit(1)

"""``python -m services.dashboard``: count what is judged, and show it. ``… rebuild``: count all of it again.

``… people`` and ``… token``: who may come in, from the command line.
"""

from __future__ import annotations

from shared.shutdown import leave_when_told

if __name__ == "__main__":
    leave_when_told()  # before the imports: they take seconds

import sys
import threading

import structlog
import typer

from services.dashboard.access.commands import people, token
from services.dashboard.access.first import await_first_admin
from services.dashboard.assembly import Dashboard
from services.dashboard.ingest.rebuild_command import rebuild_with_progress
from services.dashboard.settings import DashboardSettings
from services.dashboard.store.projection import check_login, open_redis
from shared.health import configure_logging, serve_health
from shared.service import await_broker, run_service
from shared.settings import read_settings
from shared.storage import open_store

_log = structlog.stdlib.get_logger("dashboard")
cli = typer.Typer(add_completion=False, invoke_without_command=True)
cli.add_typer(people, name="people")
cli.add_typer(token, name="token")


def serve(stop: threading.Event) -> None:
    """Settings, adapters, dashboard."""
    settings = read_settings(DashboardSettings)
    configure_logging("dashboard", settings)
    redis, store = open_redis(settings), open_store(settings)
    check_login(redis)
    broker = await_broker(settings, stop)
    if settings.login:
        await_first_admin(store, settings, stop)
    dashboard = Dashboard(settings, redis=redis, broker=broker, store=store, stop=stop)
    serve_health(dashboard, settings)
    with dashboard.running():
        _log.info("the dashboard is open", address=settings.address, login=settings.login)
        stop.wait()
    broker.close()
    if dashboard.failed:
        raise SystemExit(1)


@cli.callback()
def main(context: typer.Context) -> None:
    """Count what is judged, and serve the API and the pages."""
    if context.invoked_subcommand is None:
        run_service(serve)


@cli.command()
def rebuild() -> None:
    """Forget what is in Redis and make it again from the archive. Dashboards may go on meanwhile."""
    run_service(rebuild_with_progress)


if __name__ == "__main__":
    sys.exit(cli())

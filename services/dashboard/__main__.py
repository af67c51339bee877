"""``python -m services.dashboard``: count the inspected frames, and serve the API and the pages.

``… rebuild`` builds the projection again; ``… retention`` shows what the retention rules would remove; ``… people`` and
``… token`` manage who may log in.
"""

from __future__ import annotations

from shared.shutdown import exit_on_signal

if __name__ == "__main__":
    exit_on_signal()  # before the imports: they take seconds

import sys
import threading
from functools import partial

import structlog
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from services.dashboard.access.cli import people_cli, token_cli
from services.dashboard.access.first_admin import ensure_first_admin
from services.dashboard.app import serving_app
from services.dashboard.assembly import Dashboard, build_rebuilder
from services.dashboard.retention.cli import show_retention
from services.dashboard.settings import DashboardSettings
from services.dashboard.store.connection import check_login, open_redis
from services.dashboard.store.keys import Keys
from shared.environment import read_settings
from shared.health import serve_health
from shared.logging import configure_logging
from shared.service import await_broker, run_service
from shared.storage.opening import open_store
from shared.tracing.setup import configure_tracing

_log = structlog.stdlib.get_logger("dashboard")
cli = typer.Typer(add_completion=False, invoke_without_command=True)
cli.add_typer(people_cli, name="people")
cli.add_typer(token_cli, name="token")


def serve(stop: threading.Event) -> None:
    """Run the dashboard until ``stop``."""
    settings = read_settings(DashboardSettings)
    configure_logging("dashboard", settings)
    configure_tracing("dashboard")
    redis, store = open_redis(settings), open_store(settings)
    check_login(redis)
    broker = await_broker(settings, stop)
    if settings.login:
        ensure_first_admin(store, settings, stop)
    dashboard = Dashboard(settings, redis=redis, broker=broker, store=store, stop=stop)
    serve_health(dashboard, settings)
    with dashboard.running(partial(serving_app, settings)):
        _log.info("the dashboard serves requests", address=settings.address, login=settings.login)
        stop.wait()
    broker.close()
    if dashboard.failed:
        raise SystemExit(1)


def rebuild_with_progress(_stop: threading.Event) -> None:
    """Build the projection again, show a progress bar, and print what was found."""
    settings = read_settings(DashboardSettings)
    configure_logging("dashboard", settings)
    if settings.embedded:
        sys.stderr.write("DASHBOARD_REDIS_URL is embedded://: such a dashboard rebuilds its counts at each start\n")
        raise SystemExit(2)
    redis = open_redis(settings)
    check_login(redis)
    rebuilder = build_rebuilder(redis, Keys(settings.redis_prefix), settings, open_store(settings))
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


@cli.callback()
def main(context: typer.Context) -> None:
    """Count the inspected frames, and serve the API and the pages."""
    if context.invoked_subcommand is None:
        run_service(serve)


cli.command("retention")(show_retention)


@cli.command()
def rebuild() -> None:
    """Delete the projection in Redis and build it again from the archive. Dashboards may run meanwhile."""
    run_service(rebuild_with_progress)


if __name__ == "__main__":
    sys.exit(cli())

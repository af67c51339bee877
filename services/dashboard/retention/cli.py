"""``python -m services.dashboard retention``: show what the rules would remove, and remove nothing."""

from __future__ import annotations

import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from services.dashboard.access.audit import audit_store
from services.dashboard.ingest.condensing import Condenser
from services.dashboard.ingest.watermark import Watermark
from services.dashboard.lines.repository import LineRepository
from services.dashboard.retention.enforcement import survey
from services.dashboard.retention.expiry import Removal, cuts_of, expired_files
from services.dashboard.retention.inventory import Amount, Inventory, take_inventory
from services.dashboard.retention.referenced_frames import ReferencedFramesReader
from services.dashboard.settings import DashboardSettings
from services.dashboard.store.connection import open_redis
from services.dashboard.store.counting import Counting
from services.dashboard.store.keys import Keys
from shared.contracts.retention_rules import KINDS_WITH_RULES, DataKind
from shared.environment import read_settings
from shared.language import count, data_size
from shared.logging import configure_logging
from shared.storage.opening import open_store

Rules = Annotated[str | None, typer.Option(help="Try these rules instead of DASHBOARD_RETENTION.")]


def show_retention(rules: Rules = None) -> None:
    """Show what is stored, and what the retention rules would remove now. Nothing is removed."""
    settings = read_settings(DashboardSettings, **({} if rules is None else {"retention": rules}))
    configure_logging("dashboard", settings)
    redis, store, now = open_redis(settings), open_store(settings), datetime.now(UTC)
    keys = Keys(settings.redis_prefix)
    counting = Counting(redis, keys, settings)
    with closing(ReferencedFramesReader(store, LineRepository(redis, keys), counting)) as reader:
        references = reader.read()
        inventory = take_inventory(store, audit_store(settings, store), references)
        removals: dict[DataKind, Removal] = {}
        cuts = cuts_of(inventory, settings.retention_rules, now.date())
        for _file in expired_files(store, cuts, references, removals):
            pass  # added up in `removals`
    condenser = Condenser(store, Watermark(redis, keys), counting)
    removals.update(_of_whole_days(inventory, settings, condenser, now))
    _print(inventory, removals, settings, now)
    if settings.embedded and not references.open_batches:
        sys.stderr.write("DASHBOARD_REDIS_URL is embedded://: open batches are known to the running dashboard alone\n")


def _of_whole_days(
    inventory: Inventory, settings: DashboardSettings, condenser: Condenser, now: datetime
) -> dict[DataKind, Removal]:
    """Return what the rules of the archive and the audit log remove."""
    rules, removals = settings.retention_rules, {}
    if days := rules.of(DataKind.ARCHIVE).days:
        due = condenser.due(now.date() - timedelta(days=days))
        sizes = (inventory.days[DataKind.ARCHIVE][day].size for day in due)
        removals[DataKind.ARCHIVE] = Removal(Amount(sum(map(len, due.values())), sum(sizes)))
    if days := rules.of(DataKind.AUDIT).days:
        old = [
            amount for day, amount in inventory.days[DataKind.AUDIT].items() if day < now.date() - timedelta(days=days)
        ]
        removals[DataKind.AUDIT] = Removal(Amount(sum(each.objects for each in old), sum(each.size for each in old)))
    return removals


def _print(inventory: Inventory, removals: dict[DataKind, Removal], settings: DashboardSettings, now: datetime) -> None:
    view = survey(inventory, settings, now, waiting=0)
    table = Table("Kind", "Objects", "Size", "Per day", "Oldest", "Stays", "Would be removed", "Held by open batches")
    for each in view.kinds:
        if not each.objects and each.kind not in KINDS_WITH_RULES:
            continue
        removal = removals.get(each.kind, Removal())
        cells = [f"{count(one.objects)} ({data_size(one.size)})" for one in (removal.removed, removal.held)]
        stays = each.rule if each.kind in KINDS_WITH_RULES else "always"
        oldest = str(each.oldest or "–")
        table.add_row(
            each.kind, count(each.objects), data_size(each.size), data_size(each.growth), oldest, stays, *cells
        )
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(table)
    console.print(f"Stored: {data_size(view.size)}, growing by {data_size(view.growth)} a day before removals.")
    if view.capacity:
        full = f"full on {view.full_on}" if view.full_on else "not full within ten years"
        console.print(f"Capacity: {data_size(view.capacity)}, {full}.")
    console.print("Nothing was removed: the running dashboard enforces DASHBOARD_RETENTION.")

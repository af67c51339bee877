"""Enforce the retention rules, and take the inventory that the pages show."""

from __future__ import annotations

import shutil
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from datetime import UTC, date, datetime, timedelta
from functools import partial
from itertools import islice
from typing import Final
from urllib.parse import urlsplit

import structlog
from prometheus_client import Counter, Gauge
from redis.exceptions import LockError

from services.dashboard.access.audit import FOLDER as AUDIT
from services.dashboard.access.audit import Audit
from services.dashboard.ingest.condensing import Condenser
from services.dashboard.retention.expiry import Removal, cuts_of, expired_files
from services.dashboard.retention.forecast import full_on, growth
from services.dashboard.retention.inventory import Inventory, take_inventory
from services.dashboard.retention.referenced_frames import ReferencedFrames, ReferencedFramesReader
from services.dashboard.retention.repository import StorageRepository
from services.dashboard.retention.schemas import KindView, StorageView
from services.dashboard.settings import DashboardSettings
from services.dashboard.store.errors import REDIS_UNAVAILABLE
from shared.contracts.frame_files import FrameFile
from shared.contracts.removal_orders import (
    ANNOUNCED_FOLDER,
    FOLDER,
    MOST_KEYS,
    RemovalOrder,
    activate_order,
    announce_order,
    read_order,
)
from shared.contracts.retention_rules import OWNERS, DataKind
from shared.settings import folder_of
from shared.storage.port import ObjectStore, StorageError, StoredObject
from shared.storage.records import read_or_skip

CHECK_SECONDS: Final = 30.0
"""Time between two checks for announced removals."""
INVENTORY_EVERY: Final = timedelta(hours=1)
ANNOUNCED_FOR: Final = timedelta(minutes=2)
"""Time from the announcement to the removal, in which a request that stores a label or a mark ends."""
MOST_ORDERS: Final = 50
"""Most orders after one inventory, for a quarter of a million objects. More are ordered after the next inventory."""
BY: Final = "retention"
"""The author in the audit log."""

ORDERED: Final = Counter("dashboard_retention_objects", "Objects whose removal the retention rules ordered", ["kind"])
STORED: Final = Gauge("dashboard_stored_bytes", "Bytes in object storage", ["kind"])
CAPACITY: Final = Gauge("dashboard_storage_capacity_bytes", "Bytes that fit into object storage; 0: unknown")
FULL_IN: Final = Gauge("dashboard_storage_full_days", "Days until object storage is full; +Inf: not in ten years")

_log = structlog.stdlib.get_logger("retention")


class RetentionEnforcer:
    """Runs in a thread. Of several dashboards, one at a time does the work."""

    def __init__(
        self,
        settings: DashboardSettings,
        *,
        store: ObjectStore,
        audit_store: ObjectStore,
        audit: Audit,
        references: ReferencedFramesReader,
        condenser: Condenser,
        repository: StorageRepository,
        ready: Callable[[], bool],
        stop: threading.Event,
    ) -> None:
        """``ready`` returns whether the projection is complete, so that counts may be stored and batches are known."""
        self._settings = settings
        self._rules = settings.retention_rules
        self._store = store
        self._audit_store = audit_store
        self._audit = audit
        self._references = references
        self._condenser = condenser
        self._repository = repository
        self._ready = ready
        self._stop = stop
        self._inventory_at = datetime.min.replace(tzinfo=UTC)
        self._thread = threading.Thread(target=self._run, name="retention", daemon=True)

    def start(self) -> None:
        """Start the thread, which ends with the stop event."""
        self._thread.start()

    def join(self, timeout: float | None = None) -> None:
        """Wait for the end of the thread."""
        if self._thread.ident is not None:
            self._thread.join(timeout)

    def _run(self) -> None:
        with closing(self._references):
            while not self._stop.is_set():
                try:
                    if self._ready():
                        self.enforce(datetime.now(UTC))
                except (*REDIS_UNAVAILABLE, StorageError) as error:
                    _log.warning("retention failed, and will try again", reason=str(error))
                except Exception:  # noqa: BLE001  one wrong record must not end retention until the next start
                    _log.exception("retention failed, and will try again")
                self._stop.wait(CHECK_SECONDS)

    def enforce(self, now: datetime) -> None:
        """Order what was announced, and once an hour take the inventory and announce what the rules remove.

        Raises:
            StorageError, redis.exceptions.RedisError: nothing is lost; do it again.
        """
        lock = self._repository.lock()
        if not lock.acquire(blocking=False):
            return
        try:
            self._confirm(now)
            if now - self._inventory_at < INVENTORY_EVERY and self._repository.last():
                return
            references = self._references.read()
            inventory = take_inventory(self._store, self._audit_store, references)
            self._announce(inventory, references, now)
            self._condense(now.date())
            self._remove_audit(now.date())
            view = survey(inventory, self._settings, now, waiting=len(list(self._store.keys(f"{FOLDER}/"))))
            self._repository.store(view)
            for each in view.kinds:
                STORED.labels(each.kind).set(each.size)
            CAPACITY.set(view.capacity or 0)
            FULL_IN.set((view.full_on - now.date()).days if view.full_on else float("inf"))
            self._inventory_at = now
        finally:
            with suppress(LockError):
                lock.release()

    def _confirm(self, now: datetime) -> None:
        """Order the removals that were announced, except of files to which a label or mark refers by now."""
        announced = list(self._store.keys(f"{ANNOUNCED_FOLDER}/"))
        if not announced:
            return
        references = self._references.read()
        for key in announced:
            order = read_or_skip(key, partial(read_order, self._store, key))
            if order is None or now - order.announced_at < ANNOUNCED_FOR:
                continue
            keys = tuple(name for name in order.keys if (file := FrameFile.of(name)) and not references.hold(file))
            if keys:
                rule = str(self._rules.of(order.kind))
                self._audit.record(
                    "retention.remove", order.kind, BY, objects=len(keys), first=keys[0], last=keys[-1], rule=rule
                )
                ORDERED.labels(order.kind).inc(len(keys))
            activate_order(self._store, key, order.model_copy(update={"keys": keys}))

    def _announce(self, inventory: Inventory, references: ReferencedFrames, now: datetime) -> None:
        """Announce the removal of the files of frames that are over the limits of their rules."""
        cuts = cuts_of(inventory, self._rules, now.date())
        waiting = {key.split("/")[-2] for key in self._store.keys(f"{FOLDER}/")}
        cuts = {kind: cut for kind, cut in cuts.items() if OWNERS.get(kind) not in waiting | {None}}
        removals: dict[DataKind, Removal] = {}
        for kind, keys in islice(_portions(expired_files(self._store, cuts, references, removals)), MOST_ORDERS):
            announce_order(self._store, OWNERS[kind], RemovalOrder(kind=kind, announced_at=now, keys=tuple(keys)))
        for kind, removal in removals.items():
            _log.info(
                "announced the removal of files",
                kind=kind,
                objects=removal.removed.objects,
                bytes=removal.removed.size,
                held_by_open_batches=removal.held.objects,
            )

    def _condense(self, today: date) -> None:
        """Condense the days of the archive that are over the age of its rule."""
        if (days := self._rules.of(DataKind.ARCHIVE).days) is None:
            return
        for day, keys in sorted(self._condenser.due(today - timedelta(days=days)).items()):
            if self._stop.is_set():
                return
            with self._audit.recording("retention.remove", DataKind.ARCHIVE, BY, day=str(day), segments=len(keys)):
                removed = self._condenser.condense(day, keys)
            if removed is not None:
                ORDERED.labels(DataKind.ARCHIVE).inc(len(keys))
                _log.info("condensed a day of the archive", day=str(day), messages_removed=removed, segments=len(keys))

    def _remove_audit(self, today: date) -> None:
        """Delete the days of the audit log that are over the age of its rule."""
        if (days := self._rules.of(DataKind.AUDIT).days) is None:
            return
        oldest = f"{AUDIT}/{today - timedelta(days=days)}/"
        for key in list(self._audit_store.keys(f"{AUDIT}/")):
            if key >= oldest:
                break
            self._audit_store.delete(key)
            ORDERED.labels(DataKind.AUDIT).inc()


def _portions(files: Iterable[tuple[FrameFile, StoredObject]]) -> Iterator[tuple[DataKind, list[str]]]:
    """Yield the keys by kind, as many as an order takes."""
    keys: dict[DataKind, list[str]] = defaultdict(list)
    for file, entry in files:
        keys[file.kind].append(entry.key)
        if len(keys[file.kind]) == MOST_KEYS:
            yield file.kind, keys.pop(file.kind)
    yield from keys.items()


def survey(inventory: Inventory, settings: DashboardSettings, now: datetime, *, waiting: int) -> StorageView:
    """Return what is stored, how it grows, and when storage is full."""
    rules, today = settings.retention_rules, now.date()
    rates = growth(inventory, rules, today)
    capacity = capacity_of(settings, inventory.size)
    kinds = [
        KindView(
            kind=kind,
            objects=inventory.of(kind).objects,
            size=inventory.of(kind).size,
            growth=rates.get(kind, 0.0),
            rule=str(rules.of(kind)),
            oldest=min(inventory.days[kind], default=None) if kind in inventory.days else None,
        )
        for kind in DataKind
    ]
    return StorageView(
        at=now,
        kinds=kinds,
        size=inventory.size,
        growth=sum(rates.values()),
        capacity=capacity,
        full_on=full_on(inventory, rates, rules, capacity, today) if capacity else None,
        waiting=waiting,
    )


def capacity_of(settings: DashboardSettings, stored: int) -> int | None:
    """Return the bytes that fit into storage, with what is stored; None: unknown."""
    if settings.storage_gigabytes:
        return settings.storage_gigabytes * 10**9
    if urlsplit(settings.storage_url).scheme == "file":
        return stored + shutil.disk_usage(folder_of(settings.storage_url)).free
    return None

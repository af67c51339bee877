"""Carry out the removal orders that the dashboard stores, in the service that owns the objects."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final

import structlog
from prometheus_client import Counter

from shared.contracts.frame_files import is_owned_file
from shared.contracts.removal_orders import FOLDER, RemovalOrder, read_order
from shared.health import Health
from shared.storage.port import ObjectStore, StorageError
from shared.storage.records import read_or_skip

THREADS: Final = 8
"""Objects that are deleted at the same time."""
CHUNK: Final = 100
"""Objects that are deleted between two checks whether the service is to stop."""
CHECK_SECONDS: Final = 60.0
"""Seconds between two checks for orders."""

REMOVED: Final = Counter("seamline_removed_objects", "Objects removed by retention rules", ["kind"])

_log = structlog.stdlib.get_logger("removals")


class RemovalWorker:
    """Carries out the removal orders of one owner. Several workers may carry out the same order."""

    def __init__(self, store: ObjectStore, owner: str) -> None:
        self._store = store
        self._owner = owner

    def run(self, stop: threading.Event, health: Health, every_seconds: float = CHECK_SECONDS) -> None:
        """Carry out orders until ``stop`` is set; after an error of object storage, try again at the next check."""
        while not stop.wait(every_seconds):
            health.beat()
            try:
                self.carry_out(stop, health)
            except StorageError as error:
                _log.warning("could not remove objects; will try again", reason=str(error))

    def carry_out(self, stop: threading.Event, health: Health) -> int:
        """Carry out all orders, or stop early if ``stop`` is set. Return the number of objects that were removed.

        Raises:
            StorageError: some objects were not removed.
        """
        removed = 0
        for key in list(self._store.keys(f"{FOLDER}/{self._owner}/")):
            order = read_or_skip(key, partial(read_order, self._store, key))
            if order is not None:
                removed += self._remove(order, stop, health)
                if stop.is_set():
                    break  # the order stays: it may have further objects
                self._store.delete(key)
        return removed

    def _remove(self, order: RemovalOrder, stop: threading.Event, health: Health) -> int:
        """Remove the objects of an order that belong to the owner, until ``stop`` is set. Return their number."""
        # an order is not trusted: only files of this owner are deleted
        keys = [key for key in order.keys if is_owned_file(key, self._owner)]
        if len(keys) < len(order.keys):
            _log.error(
                "did not remove objects of other services that an order lists",
                kind=order.kind,
                objects=len(order.keys) - len(keys),
            )
        removed = 0
        with ThreadPoolExecutor(THREADS, thread_name_prefix="removals") as threads:
            for start in range(0, len(keys), CHUNK):
                if stop.is_set():
                    break
                health.beat()
                chunk = keys[start : start + CHUNK]
                list(threads.map(self._store.delete, chunk))
                removed += len(chunk)
        REMOVED.labels(order.kind.value).inc(removed)
        if removed:
            _log.info(
                "removed objects",
                kind=order.kind,
                objects=removed,
                first=keys[0],
                last=keys[removed - 1],
                announced_at=order.announced_at,
            )
        return removed

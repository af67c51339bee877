"""Remove objects in the service that owns them, by the orders that the dashboard stores."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final

import structlog
from prometheus_client import Counter

from shared.contracts.removal import FOLDER, RemovalOrder, read_order
from shared.contracts.retention import FRAME_FILE, OWNED_FILES
from shared.health import Health
from shared.storage.port import ObjectStore, StorageError
from shared.storage.records import readable

THREADS: Final = 8
"""Objects that are deleted at the same time."""
AT_ONCE: Final = 100
"""Objects that are still deleted when the service is to stop."""
CHECK_SECONDS: Final = 60.0
"""Between two checks for orders."""

REMOVED: Final = Counter("seamline_removed_objects", "Objects removed by retention rules", ["kind"])

_log = structlog.stdlib.get_logger("removals")


class Removals:
    """Carries out the removal orders of one owner. Several workers may carry out the same order."""

    def __init__(self, store: ObjectStore, owner: str) -> None:
        self._store = store
        self._owner = owner

    def run(self, stop: threading.Event, health: Health, every_seconds: float = CHECK_SECONDS) -> None:
        """Carry out orders until ``stop`` is set; after an error, try again later."""
        while not stop.wait(every_seconds):
            health.beat()
            try:
                self.carry_out(stop, health)
            except StorageError as error:
                _log.warning("objects can't be removed now, and will be later", reason=str(error))

    def carry_out(self, stop: threading.Event, health: Health) -> int:
        """Remove the objects of all orders, and return their number.

        Raises:
            StorageError: some of them are not removed.
        """
        removed = 0
        for key in list(self._store.keys(f"{FOLDER}/{self._owner}/")):
            order = readable(key, partial(read_order, self._store, key))
            if order is not None:
                removed += self._remove(order, stop, health)
                if stop.is_set():
                    break
                self._store.delete(key)
        return removed

    def _remove(self, order: RemovalOrder, stop: threading.Event, health: Health) -> int:
        """Remove the objects of an order that belong to the owner, or some of them if ``stop`` is set."""
        files = OWNED_FILES[self._owner]
        matches = (FRAME_FILE.fullmatch(key) for key in order.keys)
        owned = [match[0] for match in matches if match and files.fullmatch(match["name"])]
        if len(owned) < len(order.keys):
            _log.error("left objects of other services", kind=order.kind, objects=len(order.keys) - len(owned))
        with ThreadPoolExecutor(THREADS, thread_name_prefix="removals") as threads:
            for start in range(0, len(owned), AT_ONCE):
                if stop.is_set():
                    owned = owned[:start]
                    break
                health.beat()
                list(threads.map(self._store.delete, owned[start : start + AT_ONCE]))
        REMOVED.labels(order.kind.value).inc(len(owned))
        if owned:
            _log.info(
                "removed objects",
                kind=order.kind,
                objects=len(owned),
                first=owned[0],
                last=owned[-1],
                ordered_at=order.at,
            )
        return len(owned)

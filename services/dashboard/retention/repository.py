"""The repository of retention in Redis: the last inventory, for the pages of all dashboards, and a lock."""

from __future__ import annotations

from typing import Final, cast

from redis import Redis
from redis.lock import Lock

from services.dashboard.retention.schemas import StorageView
from services.dashboard.store.keys import Keys

LEASE_SECONDS: Final = 7_200
"""Seconds after which another dashboard may take an inventory if the one that is taking it does not answer."""


class StorageRepository:
    """The last inventory in Redis."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys

    def store(self, view: StorageView) -> None:
        self._redis.set(self._keys.storage, view.model_dump_json())

    def last(self) -> StorageView | None:
        """Return the last inventory; None if none was taken since Redis was filled."""
        text = cast("str | None", self._redis.get(self._keys.storage))
        return StorageView.model_validate_json(text) if text else None

    def lock(self) -> Lock:
        """Return the lock of the dashboard that enforces the rules."""
        return cast("Lock", self._redis.lock(self._keys.retention, timeout=LEASE_SECONDS, thread_local=False))

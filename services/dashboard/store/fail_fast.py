"""Object storage for requests, which fail fast."""

from __future__ import annotations

from collections.abc import Iterator

from services.dashboard.store.connection import ReasonAway
from shared.storage.port import ObjectStore, StorageUnavailable, StoredObject


class FailFastStore:
    """An `ObjectStore` that fails at once while the storage is known to be away."""

    def __init__(self, store: ObjectStore, away: ReasonAway) -> None:
        self._store = store
        self._away = away

    def put(self, key: str, content: bytes, content_type: str = "application/octet-stream") -> None:
        self._checked().put(key, content, content_type)

    def create(self, key: str, content: bytes, content_type: str = "application/octet-stream") -> bool:
        return self._checked().create(key, content, content_type)

    def get(self, key: str, most_bytes: int | None = None) -> bytes:
        return self._checked().get(key, most_bytes)

    def exists(self, key: str) -> bool:
        return self._checked().exists(key)

    def keys(self, prefix: str) -> Iterator[str]:
        return self._checked().keys(prefix)

    def objects(self, prefix: str) -> Iterator[StoredObject]:
        return self._checked().objects(prefix)

    def delete(self, key: str) -> None:
        self._checked().delete(key)

    def _checked(self) -> ObjectStore:
        if reason := self._away():
            raise StorageUnavailable(f"object storage is away: {reason}")
        return self._store

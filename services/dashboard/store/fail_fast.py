"""Redis and object storage for requests: they give up within a second or two, and at once while a server is away."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from redis import Connection, ConnectionPool, Redis, SSLConnection
from redis import exceptions as errors
from redis.backoff import NoBackoff
from redis.retry import Retry

from shared.storage.port import ObjectStore, StorageUnavailable

REDIS_SECONDS: Final = 1.5
MOST_CONNECTIONS: Final = 100

Reason = Callable[[], str | None]
"""Why a server counts as away; None while it does not."""


class _Pool(ConnectionPool):
    """Lends no connection to a server that is known to be away: its callers would wait for nothing, one by one."""

    def __init__(self, away: Reason, **options: Any) -> None:
        super().__init__(**options)
        self._away = away

    def get_connection(self, *_deprecated: Any, **_options: Any) -> Any:
        """See the pool."""
        if reason := self._away():
            raise errors.TimeoutError(f"Redis is away: {reason}")
        return super().get_connection()


def fail_fast_redis(redis: Redis, away: Reason) -> Redis:
    """The same Redis for requests. The one inside this process needs no haste, and is returned as it is."""
    pool = redis.connection_pool
    if not isinstance(pool, ConnectionPool) or pool.connection_class not in (Connection, SSLConnection):
        return redis
    options = {
        **pool.connection_kwargs,
        "socket_timeout": REDIS_SECONDS,
        "socket_connect_timeout": REDIS_SECONDS,
        # a connection that the server closed meanwhile is opened again, once
        "retry": Retry(NoBackoff(), 1, (errors.ConnectionError,)),
    }
    hasty = _Pool(away, connection_class=pool.connection_class, max_connections=MOST_CONNECTIONS, **options)
    return Redis(connection_pool=hasty)


class FailFastStore:
    """Object storage for requests; see `shared.storage.port.ObjectStore`."""

    def __init__(self, store: ObjectStore, away: Reason) -> None:
        self._store = store
        self._away = away

    def put(self, key: str, content: bytes, content_type: str = "application/octet-stream") -> None:
        """See the port."""
        self._check()
        self._store.put(key, content, content_type)

    def create(self, key: str, content: bytes, content_type: str = "application/octet-stream") -> bool:
        """See the port."""
        self._check()
        return self._store.create(key, content, content_type)

    def get(self, key: str, most: int | None = None) -> bytes:
        """See the port."""
        self._check()
        return self._store.get(key, most)

    def exists(self, key: str) -> bool:
        """See the port."""
        self._check()
        return self._store.exists(key)

    def keys(self, prefix: str) -> Iterator[str]:
        """See the port."""
        self._check()
        return self._store.keys(prefix)

    def delete(self, key: str) -> None:
        """See the port."""
        self._check()
        self._store.delete(key)

    def _check(self) -> None:
        if reason := self._away():
            raise StorageUnavailable(f"object storage is away: {reason}")

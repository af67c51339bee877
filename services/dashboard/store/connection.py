"""Connections to Redis: the ones that wait for it, and the ones for requests, which fail fast."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any, Final, cast
from urllib.parse import urlsplit

from redis import Connection, ConnectionPool, Redis, SSLConnection
from redis import exceptions as errors
from redis.backoff import ExponentialBackoff, NoBackoff
from redis.retry import Retry
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from services.dashboard.settings import DashboardSettings
from services.dashboard.store.errors import REDIS_UNAVAILABLE, RedisRefusedLogin

LOGIN_TRIES: Final = 3
"""Most attempts to log in, because a starting Redis may refuse the right password."""
REQUEST_SECONDS: Final = 1.5
"""Time limit of a command for a request."""
MOST_CONNECTIONS: Final = 100
"""Most connections for requests at the same time."""

ReasonAway = Callable[[], str | None]
"""Return why a server counts as away; None while it does not."""


def open_redis(settings: DashboardSettings) -> Redis:
    """Return the Redis of the settings; ``embedded://`` is one inside this process, empty at first.

    It connects with the first command.
    """
    if settings.embedded:
        # imported on demand: a dashboard with a Redis server does not load the embedded one
        import fakeredis  # noqa: PLC0415

        return cast("Redis", fakeredis.FakeRedis(server=fakeredis.FakeServer(), decode_responses=True))
    tls: dict[str, Any] = {}
    if urlsplit(settings.redis_url).scheme == "rediss":
        # the driver builds a context of its own from the files, with the same checks as `ServiceSettings.client_tls`
        tls = {
            "ssl_ca_certs": settings.tls_ca and str(settings.tls_ca),
            "ssl_certfile": settings.tls_cert and str(settings.tls_cert),
            "ssl_keyfile": settings.tls_key and str(settings.tls_key),
            "ssl_cert_reqs": "required",
            "ssl_check_hostname": True,
            "ssl_min_version": ssl.TLSVersion.TLSv1_2,
        }
    return Redis.from_url(
        settings.redis_url,
        **tls,
        username=settings.redis_user or None,
        password=settings.redis_password.get_secret_value() or None,
        decode_responses=True,
        socket_timeout=5,
        socket_connect_timeout=5,
        health_check_interval=30,
        retry=Retry(ExponentialBackoff(cap=1, base=0.05), retries=3),
    )


class _FailFastPool(ConnectionPool):
    """Refuses a connection to a server that is known to be away, so that its callers do not wait one by one."""

    def __init__(self, away: ReasonAway, **options: Any) -> None:
        super().__init__(**options)
        self._away = away

    def get_connection(self, *_deprecated: Any, **_options: Any) -> Any:
        if reason := self._away():
            raise errors.TimeoutError(f"Redis is away: {reason}")
        return super().get_connection()


def fail_fast_redis(redis: Redis, away: ReasonAway) -> Redis:
    """Return the same Redis for requests. An embedded Redis is returned unchanged."""
    pool = redis.connection_pool
    if not isinstance(pool, ConnectionPool) or pool.connection_class not in (Connection, SSLConnection):
        return redis
    options = {
        **pool.connection_kwargs,
        "socket_timeout": REQUEST_SECONDS,
        "socket_connect_timeout": REQUEST_SECONDS,
        # a connection that the server closed meanwhile is opened again, once
        "retry": Retry(NoBackoff(), 1, (errors.ConnectionError,)),
    }
    return Redis(
        connection_pool=_FailFastPool(
            away, connection_class=pool.connection_class, max_connections=MOST_CONNECTIONS, **options
        )
    )


def check_login(redis: Redis) -> None:
    """Log in to Redis; a Redis that is away is not an error.

    Raises:
        RedisRefusedLogin: it does not accept the user or the password.
    """
    retrying = Retrying(
        retry=retry_if_exception_type(errors.AuthenticationError),
        stop=stop_after_attempt(LOGIN_TRIES),
        wait=wait_exponential(multiplier=0.5),
        reraise=True,
    )
    try:
        retrying(redis.ping)
    except errors.AuthenticationError as error:
        raise RedisRefusedLogin(
            f"Redis refuses the login ({error}): check DASHBOARD_REDIS_USER and DASHBOARD_REDIS_PASSWORD"
        ) from error
    except REDIS_UNAVAILABLE:
        return


def read_hash(redis: Redis, key: str) -> dict[str, str]:
    """Return a hash as text, as `open_redis` decodes it; the driver's types do not say so."""
    return cast("dict[str, str]", redis.hgetall(key))

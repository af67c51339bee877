"""Connections to Redis, and the errors that mean that Redis is away."""

from __future__ import annotations

import ssl
from typing import Any, Final, cast
from urllib.parse import urlsplit

from redis import Redis
from redis import exceptions as errors
from redis._parsers.base import BaseParser
from redis.backoff import ExponentialBackoff
from redis.retry import Retry
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from services.dashboard.settings import DashboardSettings
from shared.storage.port import StorageRefusedLogin


class Hindered(errors.ResponseError):
    """Redis takes no command now, for a reason that the driver has no error for."""


BaseParser.EXCEPTION_CLASSES.update({"MISCONF": Hindered, "NOREPLICAS": Hindered, "BUSY": Hindered})

AWAY: Final = (
    errors.ConnectionError,  # not there, loading, too many clients, or a password that was changed
    errors.TimeoutError,
    errors.ReadOnlyError,  # it failed over
    errors.OutOfMemoryError,
    errors.ClusterDownError,
    errors.TryAgainError,
    errors.NoPermissionError,  # its users are being changed
    Hindered,  # it can't write its disk, has too few replicas, or runs a slow script
)
"""Redis takes nothing now. Trying again later may help."""

LOGIN_TRIES: Final = 3
"""A Redis that starts may refuse the right password for a moment."""


class ProjectionRefusedLogin(StorageRefusedLogin):
    """Redis is there and does not accept the user or the password."""


def open_redis(settings: DashboardSettings) -> Redis:
    """The Redis of the settings; ``embedded://`` is one inside this process, empty at first.

    Connecting happens with the first command.
    """
    if settings.embedded:
        # imported when it is chosen: a dashboard with a Redis does not load another
        import fakeredis  # noqa: PLC0415

        return cast("Redis", fakeredis.FakeRedis(server=fakeredis.FakeServer(), decode_responses=True))
    return Redis.from_url(
        settings.redis_url,
        **_tls_of(settings),
        username=settings.redis_user or None,
        password=settings.redis_password.get_secret_value() or None,
        decode_responses=True,
        socket_timeout=5,
        socket_connect_timeout=5,
        health_check_interval=30,
        retry=Retry(ExponentialBackoff(cap=1, base=0.05), retries=3),
    )


def _tls_of(settings: DashboardSettings) -> dict[str, Any]:
    """The driver makes a context of its own: of the files, and with the same checks as `ServiceSettings.client_tls`."""
    if urlsplit(settings.redis_url).scheme != "rediss":
        return {}
    return {
        "ssl_ca_certs": settings.tls_ca and str(settings.tls_ca),
        "ssl_certfile": settings.tls_cert and str(settings.tls_cert),
        "ssl_keyfile": settings.tls_key and str(settings.tls_key),
        "ssl_cert_reqs": "required",
        "ssl_check_hostname": True,
        "ssl_min_version": ssl.TLSVersion.TLSv1_2,
    }


def read_hash(redis: Redis, key: str) -> dict[str, str]:
    """A hash as text: what `open_redis` gives, which the driver's types do not know."""
    return cast("dict[str, str]", redis.hgetall(key))


def check_login(redis: Redis) -> None:
    """Talk to Redis.

    Raises:
        ProjectionRefusedLogin: it does not accept the user or the password.
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
        raise ProjectionRefusedLogin(
            f"Redis refuses the login ({error}): check DASHBOARD_REDIS_USER and DASHBOARD_REDIS_PASSWORD"
        ) from error
    except AWAY:
        return

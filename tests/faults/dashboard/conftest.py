from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.dashboard.projection import Projection
from services.dashboard.settings import DashboardSettings
from services.dashboard.store.connection import open_redis
from services.dashboard.store.keys import Keys
from tests.conftest import Bucket
from tests.dashboards import PrivateRedis, embedded_settings, opened_broker, opened_store
from tests.processes import Server
from tests.servers import Endpoint

__all__ = ["opened_broker", "opened_store"]


@pytest.fixture
def s3_server(private_s3: tuple[Endpoint, Server]) -> Server:
    return private_s3[1]


@pytest.fixture
def settings(tmp_path: Path, private_s3: tuple[Endpoint, Server]) -> DashboardSettings:
    """An object store that can be stopped."""
    bucket = Bucket(private_s3[0], "verdicts")
    return embedded_settings(
        tmp_path,
        storage_url=bucket.url,
        storage_access_key=bucket.access_key,
        storage_secret_key=bucket.secret_key,
    )


@pytest.fixture
def projection(settings: DashboardSettings) -> Projection:
    return Projection(open_redis(settings), Keys(settings.redis_prefix), settings)


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[PrivateRedis]:
    """Return a Redis that the test may stop."""
    redis = PrivateRedis(tmp_path / "redis")
    redis.server.start()
    yield redis
    redis.server.remove()

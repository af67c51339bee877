from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.dashboard.handler import Handler
from services.dashboard.projection import Keys, open_redis
from services.dashboard.settings import DashboardSettings
from shared.messaging import open_broker
from shared.messaging.port import Broker
from shared.storage import open_store
from shared.storage.port import ObjectStore
from tests.contract.conftest import ACCESS_KEY, SECRET_KEY, S3Server, s3_server
from tests.dashboards import PrivateRedis, embedded_settings

__all__ = ["s3_server"]


@pytest.fixture
def settings(tmp_path: Path, s3_server: S3Server) -> DashboardSettings:
    """An object store that can be stopped."""
    return embedded_settings(
        tmp_path,
        storage_url=f"s3://{s3_server.address}/verdicts",
        storage_access_key=ACCESS_KEY,
        storage_secret_key=SECRET_KEY,
    )


@pytest.fixture
def store(settings: DashboardSettings) -> ObjectStore:
    return open_store(settings)


@pytest.fixture
def broker(settings: DashboardSettings) -> Iterator[Broker]:
    opened = open_broker(settings)
    yield opened
    opened.close()


@pytest.fixture
def handler(settings: DashboardSettings) -> Handler:
    return Handler(open_redis(settings), Keys(settings.redis_prefix), settings)


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[PrivateRedis]:
    """One that the test may stop."""
    redis = PrivateRedis(tmp_path / "redis")
    redis.server.start()
    yield redis
    redis.server.remove()

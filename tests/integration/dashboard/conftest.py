from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis import Redis
from ulid import ULID

from services.dashboard.projection import Projection
from services.dashboard.settings import DashboardSettings
from services.dashboard.store.connection import open_redis
from services.dashboard.store.keys import Keys
from tests.dashboards import embedded_settings, opened_broker, opened_store, redis_of

__all__ = ["opened_broker", "opened_store"]


@pytest.fixture(params=["embedded", "redis"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> DashboardSettings:
    """Over both Redis adapters."""
    redis = redis_of(request.getfixturevalue("redis_url")) if request.param == "redis" else {}
    return embedded_settings(tmp_path, redis_prefix=f"test-{str(ULID()).lower()}", **redis)


@pytest.fixture
def keys(settings: DashboardSettings) -> Keys:
    return Keys(settings.redis_prefix)


@pytest.fixture
def redis(settings: DashboardSettings) -> Iterator[Redis]:
    client = open_redis(settings)
    yield client
    client.close()


@pytest.fixture
def projection(redis: Redis, keys: Keys, settings: DashboardSettings) -> Projection:
    return Projection(redis, keys, settings)


@pytest.fixture
def another_projection(redis: Redis, keys: Keys, settings: DashboardSettings) -> Callable[[], Projection]:
    """Another dashboard process on the same Redis."""
    return lambda: Projection(redis, keys, settings)

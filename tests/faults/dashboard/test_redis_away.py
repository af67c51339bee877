"""The dashboard while Redis is stopped, or has lost what it had."""

from __future__ import annotations

import threading

import pytest

from services.dashboard.handler import Handler
from services.dashboard.projection import Keys, open_redis
from services.dashboard.rebuild import Rebuilder
from services.dashboard.settings import DashboardSettings
from services.dashboard.upkeep import Upkeep
from shared.messaging.port import Broker
from shared.storage.port import ObjectStore
from shared.topology import DASHBOARD_VERDICTS
from tests.dashboards import PrivateRedis, publish, soon, taking_in
from tests.verdicts import Line


@pytest.fixture
def settings(settings: DashboardSettings, own_redis: PrivateRedis) -> DashboardSettings:
    return settings.model_copy(update={"redis_url": own_redis.url, "segment_seconds": 0.01})


def test_while_redis_is_away_nothing_is_acknowledged_and_then_everything_counted(
    broker: Broker, handler: Handler, store: ObjectStore, own_redis: PrivateRedis
) -> None:
    publish(broker, *Line().verdicts(40))
    own_redis.server.stop()
    with taking_in(broker, handler, store):
        soon(lambda: broker.depth(DASHBOARD_VERDICTS.name).unacknowledged == 40)
        own_redis.server.start()
        soon(lambda: broker.depth(DASHBOARD_VERDICTS.name).total == 0)
    assert handler.counting.total("line-1").judged == 40


def test_a_redis_that_was_emptied_is_filled_from_the_archive(
    broker: Broker, handler: Handler, store: ObjectStore, settings: DashboardSettings
) -> None:
    publish(broker, *Line().verdicts(40))
    with taking_in(broker, handler, store):
        soon(lambda: broker.depth(DASHBOARD_VERDICTS.name).total == 0)
    redis, stop = open_redis(settings), threading.Event()
    redis.flushall()
    rebuilder = Rebuilder(redis, Keys(settings.redis_prefix), settings, store)
    upkeep = Upkeep(rebuilder, store, stop)
    upkeep.start()
    soon(lambda: rebuilder.built)
    stop.set()
    upkeep.join()
    assert handler.counting.total("line-1").judged == 40

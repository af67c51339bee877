"""The dashboard while Redis is stopped, or after it has lost some or all of its data."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial

import pytest

from services.dashboard.assembly import build_rebuilder
from services.dashboard.ingest import rebuild, upkeep
from services.dashboard.ingest.archive import Archive, segments
from services.dashboard.ingest.compaction import compact
from services.dashboard.ingest.upkeep import Upkeep
from services.dashboard.projection import Projection
from services.dashboard.settings import DashboardSettings
from services.dashboard.store.connection import open_redis
from services.dashboard.store.keys import Keys
from shared.messages import Message
from shared.messaging.port import Broker
from shared.storage.port import ObjectStore
from shared.topology import DASHBOARD_VERDICTS
from tests.dashboards import PrivateRedis, ingesting, publish, soon
from tests.processes import Server
from tests.verdicts import Line


@pytest.fixture
def settings(settings: DashboardSettings, own_redis: PrivateRedis) -> DashboardSettings:
    return settings.model_copy(update={"redis_url": own_redis.url, "segment_seconds": 0.01})


@pytest.fixture(autouse=True)
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "CHECK_SECONDS", 0.1)


@contextmanager
def upkeep_of(settings: DashboardSettings, projection: Projection, store: ObjectStore) -> Iterator[Upkeep]:
    """Run upkeep within the block."""
    redis, stop = open_redis(settings), threading.Event()
    running = Upkeep(
        build_rebuilder(redis, Keys(settings.redis_prefix), settings, store), projection.watermark, store, stop
    )
    running.start()
    yield running
    stop.set()
    running.join()


def inspected(projection: Projection) -> int:
    return projection.counting.total("line-1").inspected


def archived(store: ObjectStore, verdicts: list[Message], at_once: int = 20) -> None:
    archive = Archive(store, seconds=0.01, messages=1)
    for start in range(0, len(verdicts), at_once):
        archive.add(verdicts[start : start + at_once]).result(60)
    archive.close()


def test_while_redis_is_away_nothing_is_acknowledged_and_then_everything_counted(
    broker: Broker, projection: Projection, store: ObjectStore, own_redis: PrivateRedis
) -> None:
    publish(broker, *Line().verdicts(40))
    own_redis.server.stop()
    with ingesting(broker, projection, store):
        soon(lambda: broker.depth(DASHBOARD_VERDICTS.name).unacknowledged == 40)
        own_redis.server.start()
        soon(lambda: broker.depth(DASHBOARD_VERDICTS.name).total == 0)
    assert inspected(projection) == 40


HINDRANCES = {
    "snapshots can't be written": (["CONFIG SET save 3600_1", "BGSAVE"], ["CONFIG SET save "]),
    "memory is full": (["CONFIG SET maxmemory 1"], ["CONFIG SET maxmemory 0"]),
    "it became a replica": (["REPLICAOF 127.0.0.1 1"], ["REPLICAOF NO ONE"]),
    "its user may do nothing": (["ACL SETUSER default -@write -@scripting"], ["ACL SETUSER default +@all"]),
    "too few replicas": (["CONFIG SET min-replicas-to-write 1"], ["CONFIG SET min-replicas-to-write 0"]),
}


@pytest.mark.parametrize("hindrance", HINDRANCES)
def test_while_redis_refuses_writes_the_dashboard_waits_and_then_everything_is_counted(
    broker: Broker, projection: Projection, store: ObjectStore, own_redis: PrivateRedis, hindrance: str
) -> None:
    hinder, mend = HINDRANCES[hindrance]
    own_redis.spoil_snapshots()
    for command in hinder:
        own_redis.told(command)
    soon(own_redis.refuses_writes)
    publish(broker, *Line().verdicts(40))
    with ingesting(broker, projection, store) as intake:
        soon(lambda: broker.depth(DASHBOARD_VERDICTS.name).unacknowledged == 40)
        assert intake.failure is None
        for command in mend:
            own_redis.told(command)
        soon(lambda: broker.depth(DASHBOARD_VERDICTS.name).total == 0)
    assert inspected(projection) == 40


def test_an_emptied_redis_is_filled_from_the_archive(
    broker: Broker, projection: Projection, store: ObjectStore, settings: DashboardSettings
) -> None:
    publish(broker, *Line().verdicts(40))
    with ingesting(broker, projection, store):
        soon(lambda: broker.depth(DASHBOARD_VERDICTS.name).total == 0)
    open_redis(settings).flushall()
    with upkeep_of(settings, projection, store) as running:
        soon(lambda: running.unfinished is None)
    assert inspected(projection) == 40


def test_a_redis_that_lost_its_newest_writes_gets_them_back_and_the_page_says_so(
    broker: Broker, projection: Projection, store: ObjectStore, settings: DashboardSettings, own_redis: PrivateRedis
) -> None:
    line = Line()
    with ingesting(broker, projection, store), upkeep_of(settings, projection, store) as running:
        publish(broker, *line.verdicts(40))
        soon(lambda: inspected(projection) == 40)
        soon(lambda: running.unfinished is None and projection.watermark.marked_segments() >= set(segments(store)))
        own_redis.save()
        soon(lambda: running.unfinished is None)
        publish(broker, *line.verdicts(60))
        soon(lambda: inspected(projection) == 100 and broker.depth(DASHBOARD_VERDICTS.name).total == 0)
        own_redis.go_back()
        soon(lambda: inspected(projection) == 100)
        soon(projection.watermark.last_restoration)
    told = projection.watermark.last_restoration()
    assert told is not None
    assert told.frames == 60
    assert projection.watermark.marked_segments() == set(segments(store))


def test_two_dashboards_restore_the_lost_counts_of_redis_once(
    projection: Projection, store: ObjectStore, settings: DashboardSettings, own_redis: PrivateRedis
) -> None:
    verdicts: list[Message] = list(Line().verdicts(200))
    archived(store, verdicts[:100])
    with upkeep_of(settings, projection, store) as one, upkeep_of(settings, projection, store) as other:
        soon(lambda: inspected(projection) == 100)
        soon(lambda: one.unfinished is None and other.unfinished is None)
        own_redis.save()
        archived(store, verdicts[100:])
        own_redis.go_back()
        soon(lambda: inspected(projection) == 200)
        soon(lambda: one.unfinished is None and other.unfinished is None)
        assert inspected(projection) == 200


def test_verdicts_not_yet_archived_when_redis_lost_them_are_counted_again(
    broker: Broker, settings: DashboardSettings, own_redis: PrivateRedis, s3_server: Server, store: ObjectStore
) -> None:
    projection = Projection(open_redis(settings), Keys(settings.redis_prefix), settings)
    with ingesting(broker, projection, store), upkeep_of(settings, projection, store) as running:
        soon(lambda: running.unfinished is None)
        own_redis.save()
        soon(lambda: running.unfinished is None)
        s3_server.stop()
        publish(broker, *Line().verdicts(30))
        soon(lambda: inspected(projection) == 30)
        own_redis.go_back()
        soon(lambda: inspected(projection) == 0)
        s3_server.start()
        soon(lambda: broker.depth(DASHBOARD_VERDICTS.name).total == 0)
        soon(lambda: inspected(projection) == 30)


def test_a_redis_that_is_emptied_during_a_rebuild_is_filled(
    projection: Projection, store: ObjectStore, settings: DashboardSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuild, "BATCH", 50)
    archived(store, list(Line().verdicts(200)))
    redis = open_redis(settings)
    rebuilder = build_rebuilder(redis, Keys(settings.redis_prefix), settings, store)
    emptied: list[int] = []

    def empty_once(done: int, of: int) -> None:
        if of // 2 <= done < of and not emptied:
            emptied.append(done)
            redis.flushall()

    rebuilder.build(empty_once, from_nothing=True)
    assert emptied
    assert inspected(projection) == 200
    assert rebuilder.built


def test_segments_of_few_messages_are_applied_together(
    projection: Projection, store: ObjectStore, settings: DashboardSettings, own_redis: PrivateRedis
) -> None:
    archived(store, list(Line().verdicts(60)), at_once=1)
    redis = open_redis(settings)
    before = redis.info("stats")["total_commands_processed"]
    found = build_rebuilder(redis, Keys(settings.redis_prefix), settings, store).build()
    assert found
    assert found.segments == 60 == inspected(projection)
    assert redis.info("stats")["total_commands_processed"] - before < 10 * 60


def test_a_rebuild_whose_lease_another_process_took_leaves_the_rest_to_it(
    projection: Projection, store: ObjectStore, settings: DashboardSettings
) -> None:
    archived(store, list(Line().verdicts(100)))
    keys, redis = Keys(settings.redis_prefix), open_redis(settings)
    rebuilder = build_rebuilder(redis, keys, settings, store)

    def take_over(_done: int, _of: int) -> None:
        redis.set(keys.building, "another")

    assert rebuilder.build(take_over) is None
    assert redis.get(keys.building) == "another"
    assert not rebuilder.built
    redis.delete(keys.building)
    rebuilder.build()
    assert inspected(projection) == 100


def test_a_projection_that_lacks_nothing_reads_no_segment(
    projection: Projection, store: ObjectStore, settings: DashboardSettings
) -> None:
    archived(store, list(Line().verdicts(100)))
    rebuilder = build_rebuilder(open_redis(settings), Keys(settings.redis_prefix), settings, store)
    first, second = rebuilder.build(), rebuilder.build()
    assert (first and first.segments, second and second.segments) == (5, 0)
    archived(store, list(Line("line-2").verdicts(20)))
    third = rebuilder.build()
    assert third is not None
    assert (third.segments, third.counted) == (1, 20)


def test_a_merged_segment_of_applied_ones_is_not_applied_again(
    store: ObjectStore, settings: DashboardSettings, projection: Projection
) -> None:
    archived(store, list(Line().verdicts(100)))
    rebuilder = build_rebuilder(open_redis(settings), Keys(settings.redis_prefix), settings, store)
    rebuilder.build()
    compact(store, datetime.max.replace(tzinfo=UTC), days=None, before_write=projection.watermark.mark_merged)
    assert len(segments(store)) == 1
    again = rebuilder.build()
    assert again is not None
    assert again.segments == 0


def test_an_emptied_redis_is_filled_while_the_line_runs(
    projection: Projection, store: ObjectStore, settings: DashboardSettings
) -> None:
    archived(store, list(Line().verdicts(100)))
    line, rest, seconds = Line("line-2"), threading.Event(), settings.segment_seconds
    archive = Archive(store, seconds=seconds, messages=1, written=projection.watermark.note_written)

    def run() -> None:
        while not rest.wait(seconds):
            verdicts = [line.verdict()]
            archive.add(verdicts, projection.watermark.apply(partial(projection.projector.apply, verdicts)))

    running_line = threading.Thread(target=run)
    running_line.start()
    try:
        with upkeep_of(settings, projection, store) as running:
            soon(lambda: running.unfinished is None)
            assert running_line.is_alive()
    finally:
        rest.set()
        running_line.join()
        archive.close()
    assert inspected(projection) == 100
    assert projection.counting.total("line-2").inspected == line.sequence

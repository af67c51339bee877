"""Ingest: from the queue into Redis and the archive, without losing a message or counting it twice."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from redis import Redis

from services.dashboard.accounting.parked import ParkedMessages
from services.dashboard.ingest.archive import lines_of, segments
from services.dashboard.projection import Projection
from services.dashboard.settings import DashboardSettings
from services.dashboard.store.keys import Keys
from shared import topology
from shared.messages import REASON_LENGTH, FrameCaptured, FrameInspected, Message, WorkerReported
from shared.messaging.port import Broker
from shared.storage.port import ObjectStore
from shared.topology import DASHBOARD_REPORTS, DASHBOARD_VERDICTS
from tests.dashboards import archived_in, embedded_settings, encoded, ingesting, publish, server_settings, soon
from tests.messages import FOREIGN, encoded_as
from tests.verdicts import Line


@pytest.fixture(params=["embedded", "servers"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> DashboardSettings:
    """In both ways to run: SQLite, folder and embedded Redis; RabbitMQ, S3 and Redis."""
    if request.param == "embedded":
        return embedded_settings(tmp_path)
    return server_settings(tmp_path, *(request.getfixturevalue(name) for name in ("rabbitmq", "redis_url", "s3")))


def test_acknowledged_messages_are_counted_and_archived(
    broker: Broker, projection: Projection, store: ObjectStore
) -> None:
    verdicts: list[Message] = list(Line().verdicts(700))
    publish(broker, *verdicts)
    with ingesting(broker, projection, store):
        soon(lambda: projection.counting.total("line-1").inspected == 700)
        soon(lambda: broker.depth(DASHBOARD_VERDICTS.name).total == 0)
    assert projection.counting.total("line-1").inspected == 700
    assert archived_in(store) == encoded(verdicts)


def test_a_dashboard_that_dies_before_it_acknowledges_counts_nothing_twice(
    broker: Broker, projection: Projection, store: ObjectStore
) -> None:
    verdicts: list[Message] = list(Line().verdicts(100))
    publish(broker, *verdicts)
    dying = broker.subscribe(DASHBOARD_VERDICTS, 100)
    taken = dying.receive(60, 60.0)
    projection.projector.apply(verdicts[: len(taken)])
    dying.close()
    with ingesting(broker, projection, store):
        soon(lambda: projection.counting.total("line-1").inspected == 100)
        soon(lambda: broker.depth(DASHBOARD_VERDICTS.name).total == 0)
    assert projection.counting.total("line-1").inspected == 100
    assert archived_in(store) == encoded(verdicts)


def test_reports_of_workers_leave_no_marks_in_redis(
    broker: Broker, projection: Projection, store: ObjectStore, redis: Redis, keys: Keys
) -> None:
    report = WorkerReported(service="inference", worker="worker-1", model_version=None, handled=1, at=datetime.now(UTC))
    publish(broker, report)
    with ingesting(broker, projection, store, DASHBOARD_REPORTS):
        soon(lambda: broker.depth(DASHBOARD_REPORTS.name).total == 0)
    assert [each.message for each in projection.workers.all()] == [report]
    assert not redis.keys(keys.applied("*"))


def test_a_verdict_under_the_routing_key_of_a_report_is_parked_and_not_counted(
    broker: Broker, projection: Projection, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    forged: type[Message] = FrameInspected
    with monkeypatch.context() as patched:
        patched.setattr(forged, "routing_key", "camera.line-1.camera-1")
        patched.setitem(topology.EXCHANGE_OF, forged, topology.REPORTS)
        publish(broker, Line().verdict())
    with ingesting(broker, projection, store, DASHBOARD_REPORTS):
        soon(lambda: broker.depth(DASHBOARD_REPORTS.parked).total == 1)
    assert projection.counting.total("line-1").inspected == 0
    assert archived_in(store) == set()


def test_a_verdict_among_the_reports_is_parked_and_not_counted(
    broker: Broker, projection: Projection, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    forged: type[Message] = FrameInspected
    with monkeypatch.context() as patched:
        patched.setitem(topology.EXCHANGE_OF, forged, topology.REPORTS)
        publish(broker, Line().verdict())
    with ingesting(broker, projection, store, DASHBOARD_REPORTS):
        soon(lambda: broker.depth(DASHBOARD_REPORTS.parked).total == 1)
    (parked,) = ParkedMessages(broker, store).look().parked
    assert "takes no such messages" in parked.reason
    assert parked.sender
    assert projection.counting.total("line-1").inspected == 0
    assert archived_in(store) == set()


def test_the_archive_has_the_sender_of_each_message(broker: Broker, projection: Projection, store: ObjectStore) -> None:
    publish(broker, Line().verdict())
    with ingesting(broker, projection, store):
        soon(lambda: broker.depth(DASHBOARD_VERDICTS.name).total == 0)
    (line,) = lines_of(store, segments(store)[0])
    assert json.loads(line)["sender"]


def test_a_frame_of_the_last_day_of_the_calendar_is_parked_and_its_neighbours_are_counted(
    broker: Broker, projection: Projection, store: ObjectStore
) -> None:
    line = Line()
    ahead = line.verdict()
    frame = ahead.frame.model_copy(update={"captured_at": datetime(9999, 12, 31, 23, 59, tzinfo=UTC)})
    publish(broker, line.verdict(), ahead.model_copy(update={"frame": frame}), line.verdict())
    with ingesting(broker, projection, store):
        soon(lambda: broker.depth(DASHBOARD_VERDICTS.name).total == 0)
    assert projection.counting.total("line-1").inspected == 2
    assert broker.depth(DASHBOARD_VERDICTS.parked).total == 1


def test_a_message_that_cant_be_applied_is_parked_and_its_neighbours_are_counted(
    broker: Broker, projection: Projection, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    verdicts: list[FrameInspected] = list(Line().verdicts(50))
    store_frames, unfit = projection.frames.store, verdicts[33]

    def store_all_but_one(some: list[FrameInspected]) -> None:
        if unfit in some:
            raise OverflowError("date value out of range")
        store_frames(some)

    monkeypatch.setattr(projection.frames, "store", store_all_but_one)
    publish(broker, *verdicts)
    with ingesting(broker, projection, store):
        soon(lambda: broker.depth(DASHBOARD_VERDICTS.name).total == 0)
    (parked,) = ParkedMessages(broker, store).look().parked
    assert "OverflowError: date value out of range" in parked.reason
    assert archived_in(store) == encoded(verdicts) - {unfit.encode()}


def test_an_unreadable_message_is_parked_and_its_neighbours_are_counted(
    broker: Broker, projection: Projection, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = Line()
    before, stranger, after = line.verdict(), line.verdict(), line.verdict()
    captured = FrameCaptured(frame=stranger.frame, encoding="jpeg", width=10, height=10, image=b"x")
    publish(broker, before)
    with monkeypatch.context() as patched:
        patched.setattr(FrameInspected, "encode", lambda _verdict: captured.encode())
        publish(broker, stranger)
    publish(broker, after)
    with ingesting(broker, projection, store):
        soon(lambda: projection.counting.total("line-1").inspected == 2)
        soon(lambda: broker.depth(DASHBOARD_VERDICTS.parked).total == 1)
        soon(lambda: broker.depth(DASHBOARD_VERDICTS.name).total == 0)
    assert projection.counting.total("line-1").inspected == 2
    assert broker.depth(DASHBOARD_VERDICTS.parked).total == 1


def test_a_message_of_deep_json_is_parked_and_shown(broker: Broker, projection: Projection, store: ObjectStore) -> None:
    line = Line()
    publish(broker, line.verdict())
    for body in FOREIGN.values():
        with encoded_as(FrameInspected, body):
            publish(broker, line.verdict())
    publish(broker, line.verdict())
    with ingesting(broker, projection, store):
        soon(lambda: projection.counting.total("line-1").inspected == 2)
        soon(lambda: broker.depth(DASHBOARD_VERDICTS.name).total == 0)
    shown = ParkedMessages(broker, store).look()
    assert sorted(each.size for each in shown.parked) == sorted(map(len, FOREIGN.values()))
    assert {each.message for each in shown.parked} == {None}
    assert max(len(each.reason) for each in shown.parked) <= REASON_LENGTH

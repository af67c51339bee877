"""The dashboard while object storage is stopped: counting goes on, nothing is lost."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from services.dashboard.ingest.archive import FAILURES, Archive, read_segment, segments
from services.dashboard.projection import Projection
from shared.messages import Message
from shared.messaging.port import Broker
from shared.storage.port import ObjectStore, StorageRefusedLogin, StorageUnavailable
from shared.topology import DASHBOARD_VERDICTS
from tests.dashboards import archived_in, encoded, ingesting, publish, soon
from tests.processes import Server
from tests.servers import Endpoint, start_s3
from tests.verdicts import Line


def test_an_archive_that_was_away_loses_nothing(store: ObjectStore, s3_server: Server) -> None:
    s3_server.stop()
    archive = Archive(store, seconds=0.02, messages=5)
    verdicts = list(Line().verdicts(60))
    kept = [archive.add(verdicts[start : start + 3]) for start in range(0, 60, 3)]
    with pytest.raises(TimeoutError):
        kept[0].result(0.3)
    s3_server.start()
    for future in kept:
        future.result(120)
    assert [message for key in segments(store) for message in read_segment(store, key)] == verdicts
    archive.close()


def test_closing_while_the_storage_is_away_fails_the_futures_of_unwritten_messages(
    store: ObjectStore, s3_server: Server
) -> None:
    s3_server.stop()
    archive = Archive(store, seconds=0.02, messages=5)
    kept = archive.add(list(Line().verdicts(3)))
    archive.close(timeout=0.2)
    late = archive.add(list(Line().verdicts(1)))
    for future in (kept, late):
        with pytest.raises(StorageUnavailable):
            future.result(0)


def test_while_the_archive_is_away_counting_goes_on_and_acknowledging_waits(
    broker: Broker, projection: Projection, store: ObjectStore, s3_server: Server
) -> None:
    s3_server.stop()
    verdicts: list[Message] = list(Line().verdicts(300))
    publish(broker, *verdicts)
    with ingesting(broker, projection, store):
        soon(lambda: projection.counting.total("line-1").inspected == 300)
        assert broker.depth(DASHBOARD_VERDICTS.name).total == 300
        s3_server.start()
        soon(lambda: broker.depth(DASHBOARD_VERDICTS.name).total == 0)
    assert projection.counting.total("line-1").inspected == 300
    assert archived_in(store) == encoded(verdicts)


def test_an_archive_whose_keys_are_refused_for_a_while_loses_nothing(
    broker: Broker, projection: Projection, store: ObjectStore, private_s3: tuple[Endpoint, Server], tmp_path: Path
) -> None:
    endpoint, server = private_s3
    server.stop()
    _, stranger = start_s3(tmp_path / "stranger", replace(endpoint, password="another-secret"))
    with pytest.raises(StorageRefusedLogin):
        store.put("key", b"x")
    publish(broker, *Line().verdicts(30))
    with ingesting(broker, projection, store) as intake:
        soon(lambda: projection.counting.total("line-1").inspected == 30)
        soon(lambda: FAILURES._value.get() > 0)
        assert intake.failure is None
        stranger.remove()
        server.start()
        soon(lambda: broker.depth(DASHBOARD_VERDICTS.name).total == 0)
    assert len(archived_in(store)) == 30


def test_no_more_than_the_prefetch_is_held_while_the_archive_is_away(
    broker: Broker, projection: Projection, store: ObjectStore, s3_server: Server
) -> None:
    s3_server.stop()
    publish(broker, *Line().verdicts(300))
    with ingesting(broker, projection, store, prefetch=120):
        soon(lambda: projection.counting.total("line-1").inspected == 120)
        assert broker.depth(DASHBOARD_VERDICTS.name).unacknowledged == 120


def test_stopping_while_the_archive_is_away_leaves_the_verdicts_in_the_queue(
    broker: Broker, projection: Projection, store: ObjectStore, s3_server: Server
) -> None:
    s3_server.stop()
    verdicts: list[Message] = list(Line().verdicts(50))
    publish(broker, *verdicts)
    with ingesting(broker, projection, store):
        soon(lambda: projection.counting.total("line-1").inspected == 50)
    assert broker.depth(DASHBOARD_VERDICTS.name).total == 50
    s3_server.start()
    with ingesting(broker, projection, store):
        soon(lambda: broker.depth(DASHBOARD_VERDICTS.name).total == 0)
    assert projection.counting.total("line-1").inspected == 50
    assert archived_in(store) == encoded(verdicts)

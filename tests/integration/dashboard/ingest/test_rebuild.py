from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from redis import Redis

from services.dashboard.assembly import build_rebuilder
from services.dashboard.frames.repository import FrameKind, FrameRepository
from services.dashboard.ingest.archive import Archive, segments
from services.dashboard.ingest.compaction import compact
from services.dashboard.ingest.rebuild import Rebuilder
from services.dashboard.projection import Projection
from services.dashboard.settings import DashboardSettings
from services.dashboard.statistics.buckets import BucketLength, starts_between
from services.dashboard.store.counting import Counts
from services.dashboard.store.keys import Keys
from shared.messages import FrameInspected, Message, TrainingProgressed, TrainingRequested, TrainingState
from shared.storage.port import ObjectStore
from tests.verdicts import Line, explanation_of

NOW = datetime.now(UTC) - timedelta(seconds=30)
"""Early enough that no frame is captured after the present time: such frames count as captured when they arrive."""


@pytest.fixture
def rebuilder(redis: Redis, keys: Keys, settings: DashboardSettings, store: ObjectStore) -> Rebuilder:
    return build_rebuilder(redis, keys, settings.model_copy(update={"segment_seconds": 0.01}), store)


def lived_through() -> list[Message]:
    """An hour of two lines, as it comes from the broker: some of it twice."""
    messages: list[Message] = []
    for name in ("line-1", "line-2"):
        line = Line(name, start=NOW)
        verdicts = list(line.verdicts(150, seed=len(messages)))
        messages += verdicts
        messages += [explanation_of(verdict) for verdict in verdicts if verdict.flagged]
        messages += [line.report(dropped=2, captured=155), *verdicts[:20]]
    messages.append(
        TrainingRequested(training_id="training-1", recipe="seam", dataset="datasets/seam", by="eva", at=NOW)
    )
    messages.append(
        TrainingProgressed(
            training_id="training-1", recipe="seam", state=TrainingState.RUNNING, epoch=3, epochs=9, at=NOW
        )
    )
    return messages


def keep_in_segments(store: ObjectStore, messages: list[Message], at_once: int = 40) -> None:
    archive = Archive(store, seconds=0.01, messages=1)
    for start in range(0, len(messages), at_once):
        archive.add(messages[start : start + at_once]).result(60)
    archive.close()


def everything(projection: Projection) -> dict[str, object]:
    """Return the content of a projection."""
    known: dict[str, object] = {"training": projection.trainings.find("training-1")}
    for line in ("line-1", "line-2"):
        known[f"total of {line}"] = projection.counting.total(line)
        for step in BucketLength:
            starts = starts_between(step, NOW - step.length, NOW + step.length * 2)
            known[f"{step} of {line}"] = projection.counting.buckets(line, step, starts)
        for kind in FrameKind:
            known[f"{kind} of {line}"] = list(projection.frames.newest(line, [kind]))
        known[f"cameras of {line}"] = [each.message for each in projection.cameras.of_line(line)]
    return known


def test_a_rebuilt_projection_equals_the_live_one(
    projection: Projection, rebuilder: Rebuilder, store: ObjectStore
) -> None:
    messages = lived_through()
    keep_in_segments(store, messages)
    projection.projector.apply(messages)
    lived = everything(projection)
    rebuilder.build(from_nothing=True)
    assert everything(projection) == lived
    assert rebuilder.built


def test_a_rebuild_deletes_wrong_counts(
    projection: Projection, rebuilder: Rebuilder, store: ObjectStore, redis: Redis, keys: Keys
) -> None:
    messages = lived_through()
    keep_in_segments(store, messages)
    redis.hset(keys.total("line-1"), mapping={"ok": 7_000_000, "ng": -3})
    found = rebuilder.build(from_nothing=True)
    assert found is not None
    assert (found.messages, found.damaged) == (len(messages), 0)
    assert projection.counting.total("line-1").inspected == 150


def test_verdicts_that_arrive_during_a_rebuild_are_counted_once(
    another_projection: Callable[[], Projection], rebuilder: Rebuilder, store: ObjectStore
) -> None:
    messages = lived_through()
    keep_in_segments(store, messages, at_once=100)
    live = another_projection()
    rebuilder.build(lambda done, of: live.projector.apply(messages[done * 3 :]), from_nothing=True)
    live.projector.apply(messages)
    assert [live.counting.total(line).inspected for line in ("line-1", "line-2")] == [150, 150]


def test_verdicts_that_arrive_while_a_rebuild_deletes_are_counted_once(
    another_projection: Callable[[], Projection],
    rebuilder: Rebuilder,
    store: ObjectStore,
    redis: Redis,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    messages = lived_through()
    keep_in_segments(store, messages, at_once=100)
    live, delete = another_projection(), redis.delete

    def delete_while_others_count(*keys: str) -> None:
        delete(*keys)
        live.projector.apply(messages)

    live.projector.apply(messages)
    monkeypatch.setattr(redis, "delete", delete_while_others_count)
    rebuilder.build(from_nothing=True)
    live.projector.apply(messages)
    assert [live.counting.total(line).inspected for line in ("line-1", "line-2")] == [150, 150]


def test_a_compacted_archive_rebuilds_to_the_same(
    projection: Projection, rebuilder: Rebuilder, store: ObjectStore
) -> None:
    keep_in_segments(store, lived_through())
    rebuilder.build()
    before = everything(projection)
    many = len(segments(store))
    compact(store, datetime.max.replace(tzinfo=UTC), days=None)
    assert len(segments(store)) < many
    rebuilder.build(from_nothing=True)
    assert everything(projection) == before


def test_a_damaged_segment_is_reported_and_the_others_are_read(
    projection: Projection, rebuilder: Rebuilder, store: ObjectStore
) -> None:
    keep_in_segments(store, lived_through())
    store.put("verdicts/2020-01-01/1200-01JF6Z6TX4W8E1V2M6C3N9Q7RB.jsonl.gz", b"no gzip")
    found = rebuilder.build()
    assert found is not None
    assert found.damaged == 1
    assert projection.counting.total("line-1").inspected == 150


def test_a_message_of_the_archive_that_cant_be_applied_is_skipped(
    projection: Projection, rebuilder: Rebuilder, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_in_segments(store, list(Line(start=NOW).verdicts(50)))
    stored = FrameRepository.store

    def store_all_but_one(index: FrameRepository, verdicts: list[FrameInspected]) -> None:
        if any(verdict.frame.sequence == 7 for verdict in verdicts):
            raise OverflowError("date value out of range")
        stored(index, verdicts)

    monkeypatch.setattr(FrameRepository, "store", store_all_but_one)
    found = rebuilder.build()
    assert found is not None
    assert found.messages == 49
    assert len(list(projection.frames.newest("line-1"))) == 49


def test_only_one_process_rebuilds(rebuilder: Rebuilder, redis: Redis, keys: Keys) -> None:
    redis.set(keys.building, "another")
    assert rebuilder.build(from_nothing=True) is None
    assert not rebuilder.built


def test_an_empty_archive_makes_an_empty_projection(projection: Projection, rebuilder: Rebuilder) -> None:
    assert rebuilder.build() is not None
    assert rebuilder.built
    assert projection.counting.total("line-1") == Counts()

from __future__ import annotations

import gzip
import json
from datetime import UTC, date, datetime, timedelta

import pytest
from redis import Redis

from services.dashboard.assembly import build_rebuilder
from services.dashboard.ingest.archive import CONTENT_TYPE, FOLDER, read_segment, segments
from services.dashboard.ingest.condensing import Condenser
from services.dashboard.ingest.rebuild import Rebuilder
from services.dashboard.projection import Projection
from services.dashboard.settings import DashboardSettings
from services.dashboard.statistics.buckets import BucketLength, starts_between
from services.dashboard.store.keys import Keys
from shared.messages import FrameInspected, Message, PartDecided, TrainingRequested
from shared.storage.port import ObjectStore
from tests.verdicts import Line, decision_of, explanation_of

DAYS_AGO = 50
DAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=DAYS_AGO)


@pytest.fixture
def rebuilder(redis: Redis, keys: Keys, settings: DashboardSettings, store: ObjectStore) -> Rebuilder:
    return build_rebuilder(redis, keys, settings.model_copy(update={"segment_seconds": 0.01}), store)


@pytest.fixture
def condenser(projection: Projection, store: ObjectStore) -> Condenser:
    return Condenser(store, projection.watermark, projection.counting)


def archive(store: ObjectStore, day: date, name: str, messages: list[Message]) -> None:
    content = gzip.compress(b"".join(message.encode() for message in messages))
    store.put(f"{FOLDER}/{day}/{name}.jsonl.gz", content, CONTENT_TYPE)


def an_old_day(store: ObjectStore) -> None:
    """Two segments of an old day, and one of the day after, which has late verdicts of it."""
    for number, name in enumerate(("line-1", "line-2")):
        line = Line(name, start=DAY + timedelta(hours=23, minutes=59, seconds=50))
        verdicts = list(line.verdicts(300, seed=number))  # from ten seconds before midnight to two after it
        explanations = [explanation_of(verdict) for verdict in verdicts if verdict.flagged]
        decisions = [decision_of(verdict) for verdict in verdicts]
        report = line.report(captured=310, dropped=4, at=DAY + timedelta(hours=23, minutes=59, seconds=59))
        asked = TrainingRequested(training_id=f"t-{number}", recipe="seam", dataset="d", by="eva", at=DAY)
        first = f"{number}000-01JF6Z6TX4W8E1V2M6C3N9Q7R{number}"
        archive(
            store,
            DAY.date(),
            first,
            [*verdicts[:200], *verdicts[:10], *explanations[:5], *decisions[:200], report, asked],
        )
        archive(store, (DAY + timedelta(days=1)).date(), first, [*verdicts[200:], *explanations[5:], *decisions[200:]])


def counted(projection: Projection) -> dict[str, object]:
    """Everything that outlives a rebuild."""
    known: dict[str, object] = {}
    for line in ("line-1", "line-2"):
        for part in ("", "camera=camera-1", "model=model-1", "batch=batch-7"):
            known[f"total of {line} {part}"] = projection.counting.total(line, part)
            starts = starts_between(BucketLength.DAY, DAY - timedelta(days=1), DAY + timedelta(days=3))
            known[f"days of {line} {part}"] = projection.counting.buckets(line, BucketLength.DAY, starts, part)
            known[f"seen of {line} {part}"] = projection.counting.seen(line, part) if part else None
        hours = starts_between(BucketLength.HOUR, DAY, DAY + timedelta(days=2))
        known[f"hours of {line}"] = projection.counting.buckets(line, BucketLength.HOUR, hours)
    known["trainings"] = [projection.trainings.find(f"t-{number}") for number in (0, 1)]
    return known


def test_a_rebuild_from_a_condensed_archive_has_the_same_counts(
    projection: Projection, rebuilder: Rebuilder, condenser: Condenser, store: ObjectStore
) -> None:
    an_old_day(store)
    rebuilder.build(from_nothing=True)
    before = counted(projection)
    due = condenser.due(DAY.date() + timedelta(days=1))
    assert list(due) == [DAY.date()]
    removed = condenser.condense(DAY.date(), due[DAY.date()])
    assert removed is not None
    assert removed > 400
    assert condenser.due(DAY.date() + timedelta(days=1)) == {}
    left = [message for key in segments(store) if str(DAY.date()) in key for message in read_segment(store, key)]
    assert sum(isinstance(message, FrameInspected) for message in left) == 2, "the last of each run of a camera"
    assert sum(isinstance(message, TrainingRequested) for message in left) == 2
    assert not any(isinstance(message, PartDecided) for message in left)
    assert projection.counting.total("line-1").parts == 300
    assert counted(projection) == before

    rebuilder.build()
    assert counted(projection) == before, "the condensed day is marked"
    rebuilder.build(from_nothing=True)
    assert counted(projection) == before

    next_day = DAY.date() + timedelta(days=1)
    assert condenser.condense(next_day, condenser.due(next_day + timedelta(days=1))[next_day])
    rebuilder.build(from_nothing=True)
    assert counted(projection) == before


def test_a_condensation_that_was_interrupted_is_completed(
    projection: Projection, rebuilder: Rebuilder, condenser: Condenser, store: ObjectStore
) -> None:
    an_old_day(store)
    rebuilder.build(from_nothing=True)
    before = counted(projection)
    keys = condenser.due(DAY.date() + timedelta(days=1))[DAY.date()]
    content = {key: store.get(key) for key in keys}
    condenser.condense(DAY.date(), keys)
    store.put(keys[0], content[keys[0]], CONTENT_TYPE)  # as if the process had ended before it was deleted
    rebuilder.build(from_nothing=True)
    assert counted(projection) == before
    ((day, again),) = condenser.due(DAY.date() + timedelta(days=1)).items()
    assert len(again) == 2
    assert condenser.condense(day, again) is not None
    assert condenser.due(DAY.date() + timedelta(days=1)) == {}
    rebuilder.build(from_nothing=True)
    assert counted(projection) == before


def test_a_day_that_the_projection_does_not_hold_is_not_condensed(
    rebuilder: Rebuilder, condenser: Condenser, store: ObjectStore
) -> None:
    an_old_day(store)
    keys = condenser.due(DAY.date() + timedelta(days=1))[DAY.date()]
    assert condenser.condense(DAY.date(), keys) is None
    assert sorted(segments(store, f"{FOLDER}/{DAY.date()}/")) == keys


def test_fields_are_read_in_any_order(
    projection: Projection, rebuilder: Rebuilder, condenser: Condenser, store: ObjectStore
) -> None:
    verdicts = list(Line("line-1", start=DAY).verdicts(20))
    lines = [json.dumps(dict(reversed(json.loads(verdict.encode()).items()))).encode() + b"\n" for verdict in verdicts]
    store.put(f"{FOLDER}/{DAY.date()}/a.jsonl.gz", gzip.compress(b"".join(lines)), CONTENT_TYPE)
    rebuilder.build(from_nothing=True)
    assert condenser.condense(DAY.date(), [*segments(store)]) == 19, "the last verdict stays"

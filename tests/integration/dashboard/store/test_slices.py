"""The slices of a line are counted with it: cameras, batches, models, shifts, and the captured frames by hour."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

from redis import Redis

from services.dashboard.assembly import build_rebuilder
from services.dashboard.lines.repository import CameraCounts
from services.dashboard.projection import Projection
from services.dashboard.settings import DashboardSettings
from services.dashboard.statistics.buckets import BucketLength
from services.dashboard.store.keys import Keys
from shared.messages import Message
from shared.storage.port import ObjectStore
from tests.verdicts import Line

HOUR = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=5)


def test_a_frame_is_counted_for_its_camera_its_batch_and_its_model(projection: Projection) -> None:
    line, other = Line(camera="left"), Line(camera="right")
    verdicts = [line.verdict("break"), line.verdict(), other.verdict(), other.verdict(model_version="model-2")]
    projection.projector.apply(verdicts)
    projection.projector.apply(list(reversed(verdicts)))
    counting = projection.counting
    assert (counting.total("line-1", "camera=left").ng, counting.total("line-1", "camera=left").inspected) == (1, 2)
    assert counting.total("line-1", "camera=right").ng == 0
    assert counting.total("line-1", "batch=batch-7").inspected == 4
    assert counting.total("line-1", "model=model-2").inspected == 1
    assert counting.total("line-1").inspected == 4
    assert set(counting.slices("line-1", "camera")) == {"left", "right"}
    assert counting.slices("line-1", "batch") == ["batch-7"]
    assert set(counting.slices("line-1", "model")) == {"model-1", "model-2"}


def test_buckets_are_added_up_in_redis(projection: Projection) -> None:
    for name in ("line-1", "line-2"):
        line = Line(name, start=HOUR)
        projection.projector.apply(
            [line.verdict("break" if minute == 1 else None, after=minute * 60) for minute in range(3)]
        )
    keys = [
        [projection.counting.key(name, "minute", HOUR + timedelta(minutes=minute)) for name in ("line-1", "line-2")]
        for minute in range(4)
    ]
    sums = projection.counting.sums(keys)
    assert [(found.ok, found.ng) for found in sums] == [(2, 0), (0, 2), (2, 0), (0, 0)]
    assert sums[1].fault == {"break": 2, "good": 2}
    only = projection.counting.sums([[*keys[0], *keys[1]]] * 3000, ["ng", "fault:break"])
    assert len(only) == 3000
    assert (only[-1].ok, only[-1].ng, only[-1].fault) == (0, 2, {"break": 2})


def test_a_shift_counts_the_frames_of_its_hours(projection: Projection, settings: DashboardSettings) -> None:
    shifts = settings.shift_times
    start = shifts.start(HOUR)
    line = Line(start=start)
    seconds = (shifts.after(start) - start).total_seconds()
    projection.projector.apply(
        [line.verdict(after=0), line.verdict(after=seconds - 1), line.verdict("break", after=seconds)]
    )
    key = projection.counting.key
    first, second = projection.counting.sums(
        [[key("line-1", "shift", start)], [key("line-1", "shift", shifts.after(start))]]
    )
    assert (first.ok, first.ng, second.ok, second.ng) == (2, 0, 0, 1)


def test_the_counts_of_a_slice_expire(redis: Redis, keys: Keys, projection: Projection) -> None:
    projection.projector.apply([Line(start=HOUR).verdict()])
    day = 86_400

    def days(part: str, step: BucketLength) -> int:
        return round(int(redis.ttl(projection.counting.key("line-1", step.value, step.start(HOUR), part))) / day)

    assert (days("", BucketLength.HOUR), days("camera=camera-1", BucketLength.HOUR)) == (400, 35)
    assert redis.ttl(projection.counting.key("line-1", "day", BucketLength.DAY.start(HOUR), "model=model-1")) == -1
    assert 400 <= days("batch=batch-7", BucketLength.DAY) <= 401
    assert redis.ttl(keys.total("line-1/batch=batch-7")) > 399 * day


def test_captured_frames_by_hour_do_not_depend_on_the_order_of_messages(projection: Projection) -> None:
    line = Line(start=HOUR)
    minute = timedelta(minutes=1)
    told: list[Message] = [
        line.report(captured=100, dropped=1, at=HOUR + 10 * minute),
        line.report(captured=250, dropped=1, at=HOUR + 59 * minute),
        line.report(captured=400, dropped=5, at=HOUR + 70 * minute),
        line.report(captured=401, dropped=5, at=HOUR + 200 * minute),
    ]
    line.sequence = 259
    told.append(line.verdict(after=59.5 * 60))
    random.Random(3).shuffle(told)
    for message in [*told, *told]:
        projection.projector.apply([message])
    hours = projection.cameras.by_hour("line-1", "camera-1", HOUR, HOUR + timedelta(hours=9))
    assert hours == {
        HOUR: CameraCounts(260, 1),
        HOUR + timedelta(hours=1): CameraCounts(140, 4),
        HOUR + timedelta(hours=3): CameraCounts(1, 0),
    }
    later = projection.cameras.by_hour("line-1", "camera-1", HOUR + timedelta(hours=1), HOUR + timedelta(hours=2))
    assert later == {HOUR + timedelta(hours=1): CameraCounts(140, 4)}
    assert projection.counting.total("line-1", "camera=camera-1").captured == 401


def test_a_projection_of_an_older_layout_is_built_again(
    projection: Projection, redis: Redis, keys: Keys, settings: DashboardSettings, store: ObjectStore
) -> None:
    projection.projector.apply([Line().verdict()])
    redis.set(keys.built, "1")
    rebuilder = build_rebuilder(redis, keys, settings, store)
    assert rebuilder.outdated
    assert not rebuilder.built
    rebuilder.build(from_nothing=rebuilder.outdated)
    assert rebuilder.built
    assert projection.counting.total("line-1").inspected == 0

"""Counts are exact, whatever the broker does with the messages: over real Redis and over the embedded one."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from redis import Redis

from services.dashboard.lines import repository
from services.dashboard.projection import Projection
from services.dashboard.statistics.buckets import BucketLength, starts_between
from services.dashboard.store.counting import fact_of_verdict
from services.dashboard.store.keys import Keys
from shared.messages import Verdict
from tests.verdicts import Line, explanation_of


def test_a_redelivered_batch_changes_nothing(projection: Projection) -> None:
    verdicts = list(Line().verdicts(300))
    projection.projector.apply(verdicts)
    once = projection.counting.total("line-1")
    projection.projector.apply(verdicts)
    projection.projector.apply(verdicts[17:60])
    assert projection.counting.total("line-1") == once
    assert once.inspected == once.captured == 300
    assert once.ng == sum(verdict.verdict is Verdict.NG for verdict in verdicts) > 0


def test_a_frame_twice_in_one_batch_is_counted_once(projection: Projection) -> None:
    verdict = Line().verdict("break")
    assert projection.counting.count([fact_of_verdict(verdict)] * 3) == [True, False, False]
    assert projection.counting.total("line-1").ng == 1


def test_order_does_not_matter(projection: Projection) -> None:
    verdicts = list(Line().verdicts(200))
    explanations = [explanation_of(verdict) for verdict in verdicts if verdict.flagged]
    shuffled = [*verdicts, *explanations, *verdicts[::3]]
    random.Random(7).shuffle(shuffled)
    for start in range(0, len(shuffled), 23):
        projection.projector.apply(shuffled[start : start + 23])
    total = projection.counting.total("line-1")
    assert (total.inspected, total.flagged, total.explained) == (200, len(explanations), len(explanations))


def test_several_dashboards_count_each_frame_once(
    another_projection: Callable[[], Projection], projection: Projection
) -> None:
    verdicts = list(Line().verdicts(400))

    def count(seed: int) -> None:
        mine, batches = another_projection(), [verdicts[start : start + 20] for start in range(0, 400, 20)]
        random.Random(seed).shuffle(batches)
        for batch in batches:
            mine.projector.apply(batch)

    threads = [threading.Thread(target=count, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert projection.counting.total("line-1").inspected == 400


def test_frames_fall_into_the_minute_of_their_capture(projection: Projection) -> None:
    start = datetime.now(UTC).replace(minute=30, second=58, microsecond=0) - timedelta(hours=2)
    line = Line(start=start)
    verdicts = [line.verdict("break" if second == 2 else None, after=float(second)) for second in range(4)]
    projection.projector.apply(list(reversed(verdicts)))
    starts = starts_between(BucketLength.MINUTE, start, start + timedelta(minutes=1))
    first, second = projection.counting.buckets("line-1", BucketLength.MINUTE, starts)
    assert (first.inspected, first.ng, second.inspected, second.ng) == (2, 0, 2, 1)
    assert second.fault == {"break": 1, "good": 1}
    assert second.scored == {"good": 2, "error": 2, "break": 2, "length": 2}
    assert second.present == {"good": 1, "length": 2, "break": 1}
    assert second.model == {"model-1": 2}


def test_every_step_and_the_total_count_the_same_frames(projection: Projection) -> None:
    start = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    projection.projector.apply(list(Line(start=start).verdicts(500)))
    for step in BucketLength:
        buckets = projection.counting.buckets("line-1", step, starts_between(step, start, start + timedelta(minutes=2)))
        assert sum(bucket.inspected for bucket in buckets) == 500


def test_expired_buckets_are_not_created(redis: Redis, keys: Keys, projection: Projection) -> None:
    old = datetime.now(UTC) - timedelta(days=500)
    projection.projector.apply(list(Line(start=old).verdicts(10)))
    day = keys.bucket("line-1", "day", f"{old:%Y-%m-%d}")
    assert redis.hget(day, "ok") is not None
    assert redis.ttl(day) == -1
    assert not list(redis.scan_iter(match=keys.bucket("line-1", "minute", "*")))
    assert not list(redis.scan_iter(match=keys.bucket("line-1", "hour", "*")))


def test_buckets_expire(redis: Redis, keys: Keys, projection: Projection) -> None:
    now = datetime.now(UTC)
    projection.projector.apply(list(Line(start=now).verdicts(1)))
    minute = redis.ttl(keys.bucket("line-1", "minute", f"{now:%Y-%m-%dT%H%M}"))
    hour = redis.ttl(keys.bucket("line-1", "hour", f"{now:%Y-%m-%dT%H}"))
    assert 48 * 3600 - 600 <= minute <= 48 * 3600 + 60
    assert 400 * 86_400 - 600 <= hour <= 400 * 86_400 + 3600


def test_frames_beyond_the_first_bitmap_are_counted_once_too(projection: Projection) -> None:
    line = Line()
    line.sequence = 65_534
    verdicts = [line.verdict(after=0) for _ in range(5)]
    projection.projector.apply(verdicts)
    projection.projector.apply(verdicts)
    assert projection.counting.total("line-1").inspected == 5


def test_a_report_that_arrives_late_takes_nothing_back(projection: Projection) -> None:
    line = Line()
    verdicts = list(line.verdicts(10))
    early = line.report(captured=4, at=datetime.now(UTC) - timedelta(seconds=9), frames_per_second=1.0)
    projection.projector.apply([line.report(captured=12, dropped=1)])
    projection.projector.apply([early])
    projection.projector.apply(verdicts)
    total = projection.counting.total("line-1")
    assert (total.captured, total.dropped) == (12, 1)
    assert projection.cameras.of_line("line-1")[0].message.captured == 12


def test_verdicts_that_overtake_a_report_raise_the_captured_frames(projection: Projection) -> None:
    line = Line()
    projection.projector.apply(list(line.verdicts(10)))
    assert projection.counting.total("line-1").captured == 10
    projection.projector.apply([line.report(captured=7)])
    assert projection.counting.total("line-1").captured == 10


def test_sessions_of_a_line_add_up(projection: Projection) -> None:
    for frames in (3, 5):
        line = Line()
        projection.projector.apply([*line.verdicts(frames), line.report()])
    assert projection.counting.total("line-1").captured == 8


def test_the_throughput_has_frames_per_second_and_the_latency(
    projection: Projection, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    line, yesterday = Line(), datetime.now(UTC) - timedelta(days=1)
    monkeypatch.setattr(repository, "time", SimpleNamespace(time=lambda: now - 3))
    projection.projector.apply([line.verdict(at=yesterday, latency_ms=50.0 + index) for index in range(40)])
    monkeypatch.setattr(repository, "time", SimpleNamespace(time=lambda: now))
    assert projection.throughput.frames_per_second("line-1") == 4.0
    assert projection.throughput.latency_ms("line-1") == 69.5

"""A year of ten lines in Redis: what it weighs, and how fast the questions of the page of quality are answered.

    python -m benchmarks.quality [redis://…]

Without an address: a ``redis-server`` of its own.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from statistics import median
from typing import Any

from redis import Redis

from benchmarks.counting import delete_all, redis_server, use_server, used_memory
from services.dashboard.lines.repository import LineRepository
from services.dashboard.quality.control_limits import LimitsFrom
from services.dashboard.quality.filter import QualityFilter
from services.dashboard.quality.service import QualityService
from services.dashboard.settings import DashboardSettings
from services.dashboard.statistics.windows import Subgroup, spans
from services.dashboard.store.connection import open_redis
from services.dashboard.store.counting import Counting
from services.dashboard.store.keys import Keys
from shared.shifts import Shifts

LINES = 10
DAYS = 365
REPETITIONS = 7
TARGET_MS = 100
NOW = datetime.now(UTC).replace(second=0, microsecond=0)


def main() -> None:
    """Fill Redis with a year of counts, measure its size, and time the queries."""
    with redis_server() if len(sys.argv) < 2 else use_server(sys.argv[1]) as url:
        settings = DashboardSettings(redis_url=url, redis_prefix="benchmark")
        redis, keys = open_redis(settings), Keys("benchmark")
        delete_all(redis)
        before, started = used_memory(redis), time.perf_counter()
        buckets = make_year(redis, keys, Counting(redis, keys, settings), settings.shift_times)
        print(f"buckets                                  {buckets:9,}  (made in {time.perf_counter() - started:.0f} s)")
        print(f"memory                                   {(used_memory(redis) - before) / 1e6:5.0f} MB")
        query_pages(QualityService(LineRepository(redis, keys), Counting(redis, keys, settings), settings))
        delete_all(redis)


def make_year(redis: Redis, keys: Keys, counting: Counting, shifts: Shifts) -> int:
    """Write every bucket of a year of frames, with plausible counts, and return how many."""
    made, dice, pipeline = 0, random.Random(1), redis.pipeline(transaction=False)
    for number in range(LINES):
        line = f"line-{number + 1}"
        pipeline.sadd(keys.lines, line)
        pipeline.hset(keys.total(line), mapping={"ok": 1, "scored:break": 1})
        for part, key, frames in buckets_of(line, counting, shifts):
            pipeline.hset(key, mapping=counts(frames, dice))
            if part:
                pipeline.zadd(keys.slices(line), {part: NOW.timestamp()})
            made += 1
            if made % 5_000 == 0:
                pipeline.execute()
    pipeline.execute()
    return made


def buckets_of(line: str, counting: Counting, shifts: Shifts) -> Iterator[tuple[str, str, int]]:
    """Yield the slice, the key and the frames of each bucket that is still stored."""
    kept = {Subgroup.MINUTE: 2, Subgroup.HOUR: DAYS, Subgroup.SHIFT: DAYS, Subgroup.DAY: DAYS}
    for every, days in kept.items():
        for span in spans(every, NOW - timedelta(days=days), NOW, shifts):
            frames = round((span.end - span.start).total_seconds() * 25)
            yield "", counting.key(line, every.value, span.start), frames
            for part in parts_at(span.start, shifts):
                if every is not Subgroup.HOUR or NOW - span.start < timedelta(days=35):
                    yield part, counting.key(line, every.value, span.start, part), frames // 2


def parts_at(moment: datetime, shifts: Shifts) -> Iterator[str]:
    """Return the slices of a time: two cameras, a batch per shift, a model per month."""
    yield from ("camera=camera-1", "camera=camera-2", f"model=seam-{moment:%Y%m}01-120000-abcd")
    yield f"batch=B{shifts.start(moment):%Y%m%d-%H}"


def counts(frames: int, dice: random.Random) -> dict[Any, Any]:
    """Return counts of four labels."""
    ng = round(frames * dice.uniform(0.01, 0.02))
    fields = {
        "ok": frames - ng,
        "ng": ng,
        "error": 3,
        "flagged": 2 * ng,
        "explained": ng,
        "model:seam-20260101-120000-abcd": frames,
    }
    for share, label in ((1.0, "good"), (0.6, "break"), (0.3, "error"), (0.1, "length")):
        fields |= {f"scored:{label}": frames, f"present:{label}": frames // 2, f"fault:{label}": round(ng * share)}
    return fields


def query_pages(quality: QualityService) -> None:
    """Return the queries of the page, with the slowest kinds."""
    year, month = NOW - timedelta(days=365), NOW - timedelta(days=30)
    questions = {
        "a year of ten lines by week": QualityFilter(year, NOW, None),
        "a year of ten lines by day": QualityFilter(year, NOW, Subgroup.DAY),
        "a year of the night shifts of ten lines": QualityFilter(year, NOW, Subgroup.SHIFT, shift=3),
        "half a year of one line by shift": QualityFilter(
            NOW - timedelta(days=182), NOW, Subgroup.SHIFT, line="line-1"
        ),
        "a quarter of ten lines by shift": QualityFilter(NOW - timedelta(days=91), NOW, Subgroup.SHIFT),
        "a month of ten lines by shift": QualityFilter(month, NOW, None, label="break"),
        "a month of one line by hour": QualityFilter(month, NOW, Subgroup.HOUR, line="line-1"),
        "five days of ten lines by hour": QualityFilter(NOW - timedelta(days=5), NOW, None),
        "two hours of ten lines by minute": QualityFilter(NOW - timedelta(hours=2), NOW, None),
        "a camera of a line, a year": QualityFilter(
            year, NOW, Subgroup.DAY, line="line-1", slice_name="camera=camera-2"
        ),
        "a month, limits of the month before": QualityFilter(month, NOW, None, limits=LimitsFrom.BEFORE),
    }
    slowest = 0.0
    for words, question in questions.items():
        slowest = max(slowest, print_time(words, partial(quality.view, question)))
    slowest = max(
        slowest,
        print_time(
            "two quarters compared",
            lambda: quality.compare(
                QualityFilter(NOW - timedelta(days=91), NOW, Subgroup.DAY),
                QualityFilter(NOW - timedelta(days=182), NOW - timedelta(days=91), Subgroup.DAY),
            ),
        ),
    )
    print(f"slowest                                  {slowest:5.0f} ms  (target {TARGET_MS} ms)")
    sys.exit(slowest > TARGET_MS)


def print_time(words: str, answer: Callable[[], object]) -> float:
    """Return the median time of a query in milliseconds."""
    took = []
    for _ in range(REPETITIONS):
        started = time.perf_counter()
        answer()
        took.append((time.perf_counter() - started) * 1000)
    print(f"{words:40s} {median(took):5.0f} ms")
    return median(took)


if __name__ == "__main__":
    main()

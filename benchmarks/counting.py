"""Counting verdicts in Redis: one call each, against one call for many. Both in one run, on the Redis given.

    python -m benchmarks.counting [redis://…]

Without an address: a ``redis-server`` of its own. Also says what a flagged frame and a year of counts weigh.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from redis import Redis
from redis.exceptions import ConnectionError as NotThere

from services.dashboard.frames.repository import FrameRepository
from services.dashboard.settings import DashboardSettings
from services.dashboard.statistics.buckets import BucketLength
from services.dashboard.store.connection import open_redis
from services.dashboard.store.counting import Counting, Fact, fact_of_verdict
from services.dashboard.store.keys import Keys
from tests.verdicts import Line, explanation_of

FRAMES = 20_000
SINGLE_FRAMES = 3_000
BATCH = 500
ROUNDS = 3
LABELLED_FRAMES = 2_000


def main() -> None:
    """Compare the speeds, and then measure the memory."""
    with redis_server() if len(sys.argv) < 2 else use_server(sys.argv[1]) as url:
        settings = DashboardSettings(redis_url=url, redis_prefix="benchmark")
        redis, keys = open_redis(settings), Keys("benchmark")
        delete_all(redis)
        compare(Counting(redis, keys, settings))
        delete_all(redis)
        weigh_frames(redis, FrameRepository(redis, keys, settings))
        delete_all(redis)
        weigh_a_year(redis, keys)
        delete_all(redis)


def compare(counting: Counting) -> None:
    """Measure alternately, so that other load on the machine affects both."""
    single, batched = [], []
    for _ in range(ROUNDS):
        single.append(rate(counting, facts(SINGLE_FRAMES), 1))
        batched.append(rate(counting, facts(FRAMES), BATCH))
    one, many = max(single), max(batched)
    print(f"one verdict per call      {one:9,.0f} verdicts/s")
    print(f"{BATCH} verdicts per call    {many:9,.0f} verdicts/s")
    print(f"ratio                     {many / one:9.1f}")


def facts(count: int) -> list[Fact]:
    """Return what a number of verdicts adds to the counts."""
    return [fact_of_verdict(verdict) for verdict in Line().verdicts(count)]


def rate(counting: Counting, waiting: list[Fact], batch: int) -> float:
    """Return the verdicts per second, with ``batch`` per call."""
    started = time.perf_counter()
    for start in range(0, len(waiting), batch):
        counting.count(waiting[start : start + batch])
    return len(waiting) / (time.perf_counter() - started)


def weigh_frames(redis: Redis, index: FrameRepository) -> None:
    """Measure the memory of a frame that can be looked up, with its explanation."""
    before, line = used_memory(redis), Line()
    for _ in range(LABELLED_FRAMES):
        verdict = line.verdict("break")
        index.store([verdict])
        index.store_explanations([explanation_of(verdict)])
    print(f"a flagged frame           {(used_memory(redis) - before) / LABELLED_FRAMES:9,.0f} bytes")


def weigh_a_year(redis: Redis, keys: Keys) -> None:
    """Measure one line with four labels: a year of hours and days, and two days of minutes."""
    before, now = used_memory(redis), datetime.now(UTC)
    fields: dict[Any, Any] = dict.fromkeys(
        [*fact_of_verdict(Line().verdict("break")).fields, "ok", "explained"], 90_000
    )
    pipeline = redis.pipeline(transaction=False)
    for step, many in ((BucketLength.DAY, 365), (BucketLength.HOUR, 365 * 24), (BucketLength.MINUTE, 48 * 60)):
        for index in range(many):
            start = step.start(now - step.length * index)
            pipeline.hset(keys.bucket("line-1", step.value, step.stamp(start)), mapping=fields)
    pipeline.execute()
    print(f"a year of one line        {(used_memory(redis) - before) / 1e6:9.1f} MB")


def used_memory(redis: Redis) -> int:
    """Return the bytes that Redis uses."""
    return int(redis.info("memory")["used_memory"])


def delete_all(redis: Redis) -> None:
    """Delete all keys of this benchmark."""
    for key in redis.scan_iter(match="benchmark:*", count=1000):
        redis.delete(key)


@contextmanager
def use_server(url: str) -> Iterator[str]:
    """Use a given Redis."""
    yield url


@contextmanager
def redis_server() -> Iterator[str]:
    """Start a Redis for this run."""
    binary = shutil.which("redis-server")
    if binary is None:
        sys.exit("redis-server is not installed: install it, or give the address of a Redis")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [binary, "--port", str(port), "--bind", "127.0.0.1", "--save", ""], stdout=subprocess.DEVNULL
    )
    try:
        wait_for(port)
        yield f"redis://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def wait_for(port: int) -> None:
    """Wait until Redis answers."""
    until = time.monotonic() + timedelta(seconds=20).total_seconds()
    while time.monotonic() < until:
        try:
            Redis(port=port).ping()
        except NotThere:
            time.sleep(0.05)
        else:
            return
    sys.exit("redis-server does not answer")


if __name__ == "__main__":
    main()

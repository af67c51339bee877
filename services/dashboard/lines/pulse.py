"""The pulse of a line: how fast it is judged right now, and how late."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from statistics import median
from typing import Final

from redis import Redis

from services.dashboard.projection import Keys
from shared.messages import FrameInspected

WINDOW: Final = 10
"""Seconds over which frames per second are measured."""
KEPT_SECONDS: Final = 60
LATENCIES: Final = 100
"""Frames over which the delay is measured."""


class Pulse:
    """The last seconds of each line, in Redis."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys

    def beat(self, verdicts: Sequence[FrameInspected]) -> None:
        """Take in verdicts that were just counted; those of earlier days say nothing about now."""
        oldest = time.time() - KEPT_SECONDS
        recent = [verdict for verdict in verdicts if verdict.inspected_at.timestamp() > oldest]
        seconds = Counter((verdict.frame.line, int(verdict.inspected_at.timestamp())) for verdict in recent)
        pipeline = self._redis.pipeline(transaction=False)
        for (line, second), frames in seconds.items():
            key = self._keys.pulse(line, second)
            pipeline.incrby(key, frames)
            pipeline.expire(key, KEPT_SECONDS)
        for line in {line for line, _ in seconds}:
            latencies = [str(verdict.latency_ms) for verdict in recent if verdict.frame.line == line]
            pipeline.lpush(self._keys.latencies(line), *latencies[-LATENCIES:])
            pipeline.ltrim(self._keys.latencies(line), 0, LATENCIES - 1)
        pipeline.execute()

    def frames_per_second(self, line: str) -> float:
        """Judged over the last whole seconds; verdicts need a moment to get here, so the last one is left out."""
        last = int(time.time()) - 1
        counts = self._redis.mget([self._keys.pulse(line, last - age) for age in range(WINDOW)])
        return sum(int(count or 0) for count in counts) / WINDOW

    def delay_ms(self, line: str) -> float | None:
        """Median time from capture to verdict of the last frames, in milliseconds; None when there are none."""
        latencies = [float(value) for value in self._redis.lrange(self._keys.latencies(line), 0, -1)]
        return median(latencies) if latencies else None

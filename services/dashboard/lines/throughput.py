"""The pulse of a line: its last verdicts by their arrival, how many arrive, and how late they are.

Clocks of cameras and workers are not asked: one that is ahead or behind would hide what comes.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median
from typing import Final

from redis import Redis

from services.dashboard.store.connection import read_hash
from services.dashboard.store.keys import Keys
from shared.messages import FrameInspected, Verdict, decode

WINDOW: Final = 10
"""Seconds over which frames per second are measured."""
KEPT_SECONDS: Final = 60
LATENCIES: Final = 100
"""Frames over which the delay is measured."""


@dataclass(frozen=True)
class Arrived:
    """A verdict and its arrival, by the clock of the dashboard."""

    verdict: FrameInspected
    at: datetime


class Pulse:
    """The last seconds of each line, in Redis."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys

    def beat(self, verdicts: Sequence[FrameInspected]) -> None:
        """Take in verdicts that have just arrived and were not counted before."""
        now = time.time()
        frames = Counter(verdict.frame.line for verdict in verdicts)
        pipeline = self._redis.pipeline(transaction=False)
        for line, arrived in frames.items():
            key = self._keys.pulse(line, int(now))
            pipeline.incrby(key, arrived)
            pipeline.expire(key, KEPT_SECONDS)
            of_line = [verdict for verdict in verdicts if verdict.frame.line == line]
            pipeline.hset(self._keys.last(line), "any", _text(of_line[-1], now))
            if faulty := [verdict for verdict in of_line if verdict.verdict is Verdict.NG]:
                pipeline.hset(self._keys.last(line), "ng", _text(faulty[-1], now))
            latencies = [str(verdict.latency_ms) for verdict in of_line]
            pipeline.lpush(self._keys.latencies(line), *latencies[-LATENCIES:])
            pipeline.ltrim(self._keys.latencies(line), 0, LATENCIES - 1)
        pipeline.execute()

    def last(self, line: str) -> tuple[Arrived | None, Arrived | None]:
        """The verdict that arrived last, and the last NG one; None: none arrived since Redis was filled."""
        known = read_hash(self._redis, self._keys.last(line))
        return _arrived(known.get("any")), _arrived(known.get("ng"))

    def frames_per_second(self, line: str) -> float:
        """Verdicts that arrived over the last whole seconds."""
        last = int(time.time()) - 1
        counts = self._redis.mget([self._keys.pulse(line, last - age) for age in range(WINDOW)])
        return sum(int(count or 0) for count in counts) / WINDOW

    def delay_ms(self, line: str) -> float | None:
        """Median time from capture to verdict of the last frames, in milliseconds; None when there are none."""
        latencies = [float(value) for value in self._redis.lrange(self._keys.latencies(line), 0, -1)]
        return median(latencies) if latencies else None


def _text(verdict: FrameInspected, at: float) -> str:
    return f"{at} {verdict.encode().decode()}"


def _arrived(text: str | None) -> Arrived | None:
    if text is None:
        return None
    at, _, body = text.partition(" ")
    verdict = decode(body.encode())
    return Arrived(verdict, datetime.fromtimestamp(float(at), UTC)) if isinstance(verdict, FrameInspected) else None

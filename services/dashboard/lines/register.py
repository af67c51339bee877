"""The lines that anything was ever heard of."""

from __future__ import annotations

from typing import cast

from redis import Redis

from services.dashboard.store.keys import Keys
from services.dashboard.web.problems import Problem


class LineRegister:
    """The names of the lines, in Redis."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys

    def all(self) -> list[str]:
        """In alphabetical order."""
        return sorted(cast("set[str]", self._redis.smembers(self._keys.lines)))

    def check(self, line: str) -> None:
        """Say whether there is such a line.

        Raises:
            Problem: 404.
        """
        if not self._redis.sismember(self._keys.lines, line):
            raise Problem(404, f"nothing was ever heard of a line {line!r}: GET /api/lines names the lines")

"""Hashes in Redis that hold the latest value of each field, also if values arrive out of order."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.resources import files

from redis import Redis

from services.dashboard.store.connection import read_hash


class Latest:
    """Hashes whose values are ``<time> <value>``; an older value never replaces a newer one.

    A time in the future counts as now, so that a clock that is ahead does not win over later values.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._script = redis.register_script(
            (files("services.dashboard.store") / "latest.lua").read_text(encoding="utf-8")
        )

    def put(self, key: str, field: str, at: datetime, value: str) -> None:
        """Store a value unless a later one is stored."""
        when = min(at, datetime.now(UTC)).astimezone(UTC).isoformat(timespec="microseconds")
        self._script(keys=[key], args=[field, when, value])

    def all(self, key: str) -> dict[str, str]:
        """Return the values by field, in the order of the fields."""
        entries = read_hash(self._redis, key)
        return {field: entries[field].partition(" ")[2] for field in sorted(entries)}

"""Workers: what each inference worker and explainer said last."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

from redis import Redis

from services.dashboard.latest import Latest
from services.dashboard.projection import Keys
from shared.messages import WorkerReported

FORGOTTEN: Final = timedelta(hours=1)
"""A worker that has said nothing for so long was taken away on purpose."""


class Workers:
    """The workers in Redis."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys
        self._latest = Latest(redis)

    def report(self, reports: Iterable[WorkerReported]) -> None:
        """Take in what workers said."""
        for report in reports:
            name = f"{report.service}/{report.worker}"
            self._latest.put(self._keys.workers, name, report.reported_at, report.model_dump_json())

    def all(self) -> list[WorkerReported]:
        """The last report of each worker of the last hour."""
        known = {
            name: WorkerReported.model_validate_json(text)
            for name, text in self._latest.all(self._keys.workers).items()
        }
        gone = [name for name, report in known.items() if datetime.now(UTC) - report.reported_at > FORGOTTEN]
        if gone:
            self._redis.hdel(self._keys.workers, *gone)
        return [report for name, report in known.items() if name not in gone]

"""Workers: what each inference worker and explainer said last, and when that arrived."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from redis import Redis

from services.dashboard.ingest.projector import Appliers
from services.dashboard.store.connection import read_hash
from services.dashboard.store.keys import Keys
from shared.messages import WorkerReported

FORGOTTEN: Final = timedelta(hours=1)
"""A worker that has said nothing for so long was taken away on purpose."""


@dataclass(frozen=True)
class HeardWorker:
    """The last report of a worker."""

    report: WorkerReported
    at: datetime
    """Its arrival, by the clock of the dashboard."""


class Workers:
    """The workers in Redis."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys

    @property
    def appliers(self) -> Appliers:
        return {WorkerReported: self.report}

    def report(self, reports: Iterable[WorkerReported]) -> None:
        """Take in what workers said."""
        now = datetime.now(UTC).isoformat()
        for report in reports:
            name = f"{report.service}/{report.worker}"
            self._redis.hset(self._keys.workers, name, f"{now} {report.model_dump_json()}")

    def all(self) -> list[HeardWorker]:
        """The last report of each worker of the last hour."""
        known = {name: _heard(text) for name, text in sorted(read_hash(self._redis, self._keys.workers).items())}
        gone = [name for name, heard in known.items() if datetime.now(UTC) - heard.at > FORGOTTEN]
        if gone:
            self._redis.hdel(self._keys.workers, *gone)
        return [heard for name, heard in known.items() if name not in gone]


def _heard(text: str) -> HeardWorker:
    at, _, report = text.partition(" ")
    return HeardWorker(WorkerReported.model_validate_json(report), datetime.fromisoformat(at))

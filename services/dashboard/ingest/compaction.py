"""Compaction: the many small segments of an hour that is over become one."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog
from ulid import ULID

from services.dashboard.ingest.archive import FOLDER, DamagedSegment, merge, segments
from shared.storage.port import ObjectStore

AFTER: Final = timedelta(minutes=10)
"""How long an hour is over before it is compacted: clocks differ, and a slow write may still arrive."""

_log = structlog.stdlib.get_logger("compaction")
_KEY: Final = re.compile(rf"^{FOLDER}/(\d{{4}}-\d\d-\d\d)/(\d\d)(?:\d\d)?-[0-9A-Z]{{26}}\.jsonl\.gz$")


def compact(
    store: ObjectStore,
    now: datetime,
    days: int | None = 2,
    about_to: Callable[[Sequence[str], str], None] = lambda _keys, _into: None,
) -> int:
    """Merge the segments of each hour that is over, of the last ``days`` (None: of all); how many segments went.

    An hour with a damaged segment stays as it is.

    ``about_to`` is told which segments become which, before that one is written.

    Raises:
        StorageError: the hours before it are done.
    """
    gone = 0
    if days is None:
        prefixes = [f"{FOLDER}/"]
    else:
        prefixes = [f"{FOLDER}/{now.astimezone(UTC) - timedelta(days=age):%Y-%m-%d}/" for age in range(days)]
    hours = defaultdict(list)
    for prefix in prefixes:
        for key in segments(store, prefix):
            if match := _KEY.match(key):
                hours[match.group(1), match.group(2)].append(key)
    for (day, hour), keys in sorted(hours.items()):
        over = datetime.fromisoformat(f"{day}T{hour}:00:00+00:00") + timedelta(hours=1) + AFTER
        if len(keys) > 1 and over < now:
            try:
                merge(store, keys, f"{FOLDER}/{day}/{hour}-{ULID()}.jsonl.gz", about_to)
            except DamagedSegment as error:
                _log.error("can't merge an hour of the archive", hour=f"{day} {hour}", reason=str(error))
                continue
            gone += len(keys) - 1
    return gone

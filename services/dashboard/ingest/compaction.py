"""Compaction: merge the small segments of each past hour into one segment."""

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
"""Time from the end of an hour to its compaction, because clocks differ and writes may be slow."""

_log = structlog.stdlib.get_logger("compaction")
_KEY: Final = re.compile(rf"^{FOLDER}/(\d{{4}}-\d\d-\d\d)/(\d\d)(?:\d\d)?-[0-9A-Z]{{26}}\.jsonl\.gz$")


def compact(
    store: ObjectStore,
    now: datetime,
    days: int | None = 2,
    before_write: Callable[[Sequence[str], str], None] = lambda _keys, _into: None,
) -> int:
    """Merge the segments of each past hour of the last ``days`` (None: of all days).

    An hour with a damaged segment is not changed.

    Args:
        store: the storage of the segments.
        now: the present time.
        days: the number of days, including today; None: all days.
        before_write: see `merge`.

    Returns:
        By how many segments the archive has become smaller.

    Raises:
        StorageError: object storage failed; earlier hours may have been merged.
    """
    removed = 0
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
                merge(store, keys, f"{FOLDER}/{day}/{hour}-{ULID()}.jsonl.gz", before_write)
            except DamagedSegment as error:
                _log.error("can't merge an hour of the archive", hour=f"{day} {hour}", reason=str(error))
                continue
            removed += len(keys) - 1
    return removed

"""Delete the files of incomplete uploads. `Upkeep` calls this periodically."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog
from ulid import ULID

from services.dashboard.labelling.videos.repository import FOLDER, MANIFEST, delete_video
from shared.storage.port import ObjectStore

ABANDONED: Final = timedelta(days=1)
"""An upload that has no manifest after this time is incomplete."""

_log = structlog.stdlib.get_logger("videos")


def delete_incomplete_uploads(store: ObjectStore, now: datetime) -> int:
    """Delete uploads that began more than `ABANDONED` ago and have no manifest; return their number."""
    files: dict[str, set[str]] = defaultdict(set)
    for key in store.keys(f"{FOLDER}/"):
        files[key.split("/")[2]].add(key.rpartition("/")[2])
    incomplete = [
        video_id for video_id, names in files.items() if MANIFEST not in names and begun_at(video_id) < now - ABANDONED
    ]
    for video_id in incomplete:
        delete_video(store, video_id)
    if incomplete:
        _log.info("deleted incomplete uploads", uploads=len(incomplete))
    return len(incomplete)


def begun_at(video_id: str) -> datetime:
    """Return when an upload began; the latest possible time for a folder that is not an upload."""
    try:
        return ULID.from_str(video_id).datetime
    except ValueError:
        return datetime.max.replace(tzinfo=UTC)

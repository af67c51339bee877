"""Upkeep: complete the projection from the archive, compact the archive, and run the tasks of features."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final

import structlog
from prometheus_client import Counter

from services.dashboard.ingest.compaction import compact
from services.dashboard.ingest.rebuild import Rebuilder
from services.dashboard.ingest.watermark import Watermark
from services.dashboard.store.errors import REDIS_UNAVAILABLE
from shared.storage.port import ObjectStore, StorageError

CHECK_SECONDS: Final = 5.0
"""Seconds between two checks that Redis still has the projection."""
COMPACT_EVERY: Final = 600 / CHECK_SECONDS
"""Number of checks between two compactions, and between two comparisons of the projection with the whole archive."""

RESTORED: Final = Counter(
    "dashboard_restored_frames", "Verdicts and explanations that Redis had lost, counted again from the archive"
)

_log = structlog.stdlib.get_logger("upkeep")


class Upkeep:
    """Runs in a thread; after an error it tries again."""

    def __init__(
        self,
        rebuilder: Rebuilder,
        watermark: Watermark,
        store: ObjectStore,
        stop: threading.Event,
        tasks: Sequence[Callable[[datetime], object]] = (),
    ) -> None:
        """``tasks`` run every ten minutes, with the present time, after the compaction of the archive."""
        self._rebuilder = rebuilder
        self._watermark = watermark
        self._projection_id: str | None = None
        self._incomplete = False
        self._due = True
        self._store = store
        self._stop = stop
        self._tasks = tasks
        self._thread = threading.Thread(target=self._run, name="upkeep", daemon=True)

    def start(self) -> None:
        """Start the thread, which ends with the stop event."""
        self._thread.start()

    def join(self, timeout: float | None = None) -> None:
        """Wait for the end of the thread."""
        if self._thread.ident is not None:
            self._thread.join(timeout)

    @property
    def unfinished(self) -> str | None:
        """The reason why counts may be missing; None if the projection is complete."""
        if not self._rebuilder.built:
            return "being built from the archive"
        return "being completed from the archive" if self._incomplete else None

    def _run(self) -> None:
        checks = 0
        while not self._stop.is_set():
            try:
                self._complete(compare=checks % COMPACT_EVERY == 0)
                if checks % COMPACT_EVERY == 0:
                    days, now = None if checks == 0 else 2, datetime.now(UTC)
                    if removed := compact(self._store, now, days, self._watermark.mark_merged):
                        _log.info("compacted the archive", segments_fewer=removed)
                    for task in self._tasks:
                        task(datetime.now(UTC))
            except (*REDIS_UNAVAILABLE, StorageError) as error:
                _log.warning("upkeep failed, and will try again", reason=str(error))
            except Exception:  # noqa: BLE001  without this thread the counts would stay incomplete until the next start
                _log.exception("upkeep failed, and will try again")
            checks += 1
            self._stop.wait(CHECK_SECONDS)

    def _complete(self, *, compare: bool) -> None:
        """Complete the projection if Redis is empty or may have lost messages, or if ``compare`` is set."""
        built, projection_id = self._rebuilder.built, self._watermark.projection_id()
        lost = not self._watermark.mark_written() or self._projection_id not in (None, projection_id)
        self._projection_id = projection_id
        self._incomplete = self._incomplete or lost
        self._due = self._due or self._incomplete or compare
        if built and not self._due:
            return
        found = self._rebuilder.build(from_nothing=self._rebuilder.outdated)
        self._due = self._incomplete = found is None
        if found and built and found.counted:
            RESTORED.inc(found.counted)
            self._watermark.note_restored(found.counted)
            _log.warning(
                "Redis had lost frames; counted them again from the archive",
                frames=found.counted,
                segments=found.segments,
            )
        elif found and not built and found.segments:
            _log.info("built the projection from the archive", segments=found.segments, messages=found.messages)

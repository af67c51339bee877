"""Upkeep: completes the projection from the archive, merges segments of the archive, and removes broken uploads."""

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
from services.dashboard.store.errors import AWAY
from shared.storage.port import ObjectStore, StorageError

LOOK_SECONDS: Final = 5.0
"""Between two looks at whether Redis still has the projection."""
COMPACT_EVERY: Final = 600 / LOOK_SECONDS
"""Looks between two compactions, and between two comparisons of the projection with the whole archive."""

RESTORED: Final = Counter(
    "dashboard_restored_frames", "Verdicts and explanations that Redis had lost, counted again from the archive"
)

_log = structlog.stdlib.get_logger("upkeep")


class Upkeep:
    """Runs in a thread of its own; what is away now is tried again."""

    def __init__(
        self,
        rebuilder: Rebuilder,
        watermark: Watermark,
        store: ObjectStore,
        stop: threading.Event,
        tasks: Sequence[Callable[[datetime], None]] = (),
    ) -> None:
        """``tasks`` run every ten minutes with the present time, after the compaction of the archive."""
        self._rebuilder = rebuilder
        self._watermark = watermark
        self._life: str | None = None
        self._incomplete = False
        self._due = True
        self._store = store
        self._stop = stop
        self._tasks = tasks
        self._thread = threading.Thread(target=self._run, name="upkeep", daemon=True)

    def start(self) -> None:
        """Start; it ends with the stop event."""
        self._thread.start()

    def join(self, patience: float | None = None) -> None:
        """Wait for the end."""
        if self._thread.ident is not None:
            self._thread.join(patience)

    @property
    def unfinished(self) -> str | None:
        """Why counts may be missing right now; None when none are known to be."""
        if not self._rebuilder.built:
            return "being made from the archive"
        return "being completed from the archive" if self._incomplete else None

    def _run(self) -> None:
        looks = 0
        while not self._stop.is_set():
            try:
                self._fill(compare=looks % COMPACT_EVERY == 0)
                if looks % COMPACT_EVERY == 0:
                    if gone := compact(
                        self._store, datetime.now(UTC), None if looks == 0 else 2, self._watermark.mark_merged
                    ):
                        _log.info("compacted the archive", segments_fewer=gone)
                    for task in self._tasks:
                        task(datetime.now(UTC))
            except (*AWAY, StorageError) as error:
                _log.warning("upkeep has to wait", reason=str(error))
            except Exception:  # noqa: BLE001  a thread that dies alone would leave the counts incomplete until the next start
                _log.exception("upkeep has to wait")
            looks += 1
            self._stop.wait(LOOK_SECONDS)

    def _fill(self, *, compare: bool) -> None:
        """Complete the projection when Redis is empty or may have lost something, and whenever ``compare`` is set."""
        built, life = self._rebuilder.built, self._watermark.life()
        lost = not self._watermark.mark_written() or self._life not in (None, life)
        self._life = life
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
            _log.info("filled Redis from the archive", segments=found.segments, messages=found.messages)

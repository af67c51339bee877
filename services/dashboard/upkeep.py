"""Upkeep: fills a projection that is empty, keeps the archive in few segments, and tidies up after broken uploads."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import Final

import structlog

from services.dashboard.archive import DamagedSegment
from services.dashboard.compaction import compact
from services.dashboard.labelling.films import sweep
from services.dashboard.projection import AWAY
from services.dashboard.rebuild import Rebuilder
from shared.storage.port import ObjectStore, StorageError

LOOK_SECONDS: Final = 5.0
"""Between two looks at whether Redis still has the projection."""
COMPACT_EVERY: Final = 600 / LOOK_SECONDS
"""Looks between two compactions."""

_log = structlog.stdlib.get_logger("upkeep")


class Upkeep:
    """Runs in a thread of its own; what is away now is tried again."""

    def __init__(self, rebuilder: Rebuilder, store: ObjectStore, stop: threading.Event) -> None:
        self._rebuilder = rebuilder
        self._store = store
        self._stop = stop
        self._thread = threading.Thread(target=self._run, name="upkeep", daemon=True)

    def start(self) -> None:
        """Start; it ends with the stop event."""
        self._thread.start()

    def join(self, patience: float | None = None) -> None:
        """Wait for the end."""
        if self._thread.ident is not None:
            self._thread.join(patience)

    def _run(self) -> None:
        looks = 0
        while not self._stop.is_set():
            try:
                self._fill()
                if looks % COMPACT_EVERY == 0:
                    self._compact(days=None if looks == 0 else 2)
                    self._tidy()
            except (*AWAY, StorageError) as error:
                _log.warning("upkeep has to wait", reason=str(error))
            except Exception:  # noqa: BLE001  a thread that dies alone would leave the counts incomplete until the next start
                _log.exception("upkeep has to wait")
            looks += 1
            self._stop.wait(LOOK_SECONDS)

    def _fill(self) -> None:
        if self._rebuilder.built:
            return
        found = self._rebuilder.build(from_nothing=self._rebuilder.outdated)
        if found and found.segments:
            _log.info("filled Redis from the archive", segments=found.segments, messages=found.messages)

    def _compact(self, days: int | None) -> None:
        try:
            gone = compact(self._store, datetime.now(UTC), days)
        except DamagedSegment as error:
            _log.error("can't compact the archive", reason=str(error))
            return
        if gone:
            _log.info("compacted the archive", segments_fewer=gone)

    def _tidy(self) -> None:
        if films := sweep(self._store, datetime.now(UTC)):
            _log.info("took away what was left of uploads that broke off", uploads=films)

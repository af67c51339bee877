"""The thread of the upkeep survives unexpected errors."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import cast

import pytest
from fakeredis import FakeRedis

from services.dashboard.ingest import upkeep
from services.dashboard.ingest.rebuild import Rebuilder
from services.dashboard.ingest.upkeep import Upkeep
from services.dashboard.ingest.watermark import Watermark
from services.dashboard.store.keys import Keys
from shared.storage.filesystem import FilesystemStore

UNEXPECTED = ValueError("an unexpected error")


def test_upkeep_goes_on_after_an_unexpected_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "CHECK_SECONDS", 0.01)
    stop, looked = threading.Event(), threading.Semaphore(0)

    class Failing:
        @property
        def built(self) -> bool:
            looked.release()
            raise UNEXPECTED

    watermark = Watermark(FakeRedis(decode_responses=True), Keys("test"))
    running = Upkeep(cast("Rebuilder", Failing()), watermark, FilesystemStore(tmp_path), stop)
    running.start()
    assert all(looked.acquire(timeout=60) for _ in range(2))
    stop.set()
    running.join()

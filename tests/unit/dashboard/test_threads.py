"""The threads of a dashboard outlive what nobody foresaw."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import cast

import pytest
from fakeredis import FakeRedis
from pydantic import BaseModel

from services.dashboard.ingest import upkeep
from services.dashboard.ingest.rebuild import Rebuilder
from services.dashboard.ingest.upkeep import Upkeep
from services.dashboard.ingest.watermark import Watermark
from services.dashboard.live.hub import Hub, LiveSources
from services.dashboard.store.keys import Keys
from shared.storage.filesystem import FilesystemStore

UNFORESEEN = ValueError("a pointer to production that nobody can read")


def test_the_live_pages_go_on_after_an_error_that_nobody_foresaw() -> None:
    failures: list[str] = []

    def states() -> dict[str, BaseModel]:
        if threading.current_thread().name == "live" and not failures:
            failures.append(str(UNFORESEEN))
            raise UNFORESEEN
        return {}

    hub = Hub(FakeRedis(decode_responses=True), Keys("test"), LiveSources(states=states, by_id={}))

    async def beat() -> None:
        async for event in hub.stream():
            if event.event == "beat":
                return

    asyncio.run(asyncio.wait_for(beat(), 60))
    hub.close()
    assert failures


def test_upkeep_goes_on_after_an_error_that_nobody_foresaw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "CHECK_SECONDS", 0.01)
    stop, looked = threading.Event(), threading.Semaphore(0)

    class Failing:
        @property
        def built(self) -> bool:
            looked.release()
            raise UNFORESEEN

    watermark = Watermark(FakeRedis(decode_responses=True), Keys("test"))
    running = Upkeep(cast("Rebuilder", Failing()), watermark, FilesystemStore(tmp_path), stop)
    running.start()
    assert all(looked.acquire(timeout=60) for _ in range(2))
    stop.set()
    running.join()

"""The thread of the live stream survives unexpected errors."""

from __future__ import annotations

import asyncio
import threading

from fakeredis import FakeRedis
from pydantic import BaseModel

from services.dashboard.live.hub import Hub, LiveSources
from services.dashboard.store.keys import Keys

UNEXPECTED = ValueError("an unexpected error")


def test_the_live_stream_goes_on_after_an_unexpected_error() -> None:
    failures: list[str] = []

    def states() -> dict[str, BaseModel]:
        if threading.current_thread().name == "live" and not failures:
            failures.append(str(UNEXPECTED))
            raise UNEXPECTED
        return {}

    hub = Hub(FakeRedis(decode_responses=True), Keys("test"), LiveSources(states=states, by_id={}))

    async def beat() -> None:
        async for event in hub.stream():
            if event.event == "beat":
                return

    asyncio.run(asyncio.wait_for(beat(), 60))
    hub.close()
    assert failures

"""Downloads: what becomes of a file whose client takes it, stands still, or goes away."""

from __future__ import annotations

import asyncio
import io

import pytest
from starlette.types import Message

from services.dashboard.labelling.videos import downloading
from services.dashboard.labelling.videos.downloading import CHUNK_BYTES, Download

CONTENT = bytes(range(256)) * (2 * CHUNK_BYTES // 256) + b"end"


def taken(most: int, *, leaves: bool = False) -> tuple[bytes, bool]:
    """What a client gets that takes so many messages, and then none or leaves; and whether the file is closed."""
    file, got = io.BytesIO(CONTENT), list[Message]()

    async def answer() -> None:
        full = asyncio.Event()

        async def send(message: Message) -> None:
            if len(got) == most:
                full.set()
                await asyncio.Event().wait()
            got.append(message)

        async def receive() -> Message:
            await (full if leaves else asyncio.Event()).wait()
            return {"type": "http.disconnect"}

        response = Download(file, "application/zip", {})
        await response({"type": "http", "asgi": {"spec_version": "2.3"}}, receive, send)

    asyncio.run(asyncio.wait_for(answer(), 60))
    return b"".join(message.get("body", b"") for message in got), file.closed


def test_a_file_comes_whole_and_is_closed() -> None:
    assert taken(100) == (CONTENT, True)


def test_who_takes_nothing_any_more_does_not_keep_the_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloading, "STALLED_SECONDS", 0.1)
    assert taken(2) == (CONTENT[:CHUNK_BYTES], True)


def test_a_file_whose_client_goes_away_is_closed() -> None:
    assert taken(2, leaves=True) == (CONTENT[:CHUNK_BYTES], True)

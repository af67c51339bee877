"""Downloads: what happens to a file whose client reads it, stalls, or goes away."""

from __future__ import annotations

import asyncio
import io

import pytest
from starlette.types import Message

from services.dashboard.labelling.videos import transfers
from services.dashboard.labelling.videos.transfers import CHUNK_BYTES, Download, TransferSlots
from services.dashboard.web.problems import Problem

CONTENT = bytes(range(256)) * (2 * CHUNK_BYTES // 256) + b"end"


def taken(most: int, *, leaves: bool = False) -> tuple[bytes, bool]:
    """Return what a client gets that reads this many messages, and whether the file is closed afterwards."""
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


def test_a_file_is_sent_completely_and_closed() -> None:
    assert taken(100) == (CONTENT, True)


def test_a_stalled_download_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfers, "STALLED_SECONDS", 0.1)
    assert taken(2) == (CONTENT[:CHUNK_BYTES], True)


def test_a_file_whose_client_goes_away_is_closed() -> None:
    assert taken(2, leaves=True) == (CONTENT[:CHUNK_BYTES], True)


def test_no_more_transfers_run_at_once_than_there_are_slots() -> None:
    uploads, exports = TransferSlots("uploads", 1), TransferSlots("exports", 1)
    with (
        uploads.slot(),
        pytest.raises(Problem, match="the limit of 1 for uploads at the same time is reached") as refusal,
        uploads.slot(),
    ):
        pass
    assert (refusal.value.details.status, refusal.value.headers) == (503, {"Retry-After": "30"})
    with uploads.slot(), exports.slot():
        """The slot is free again, and exports have slots of their own."""

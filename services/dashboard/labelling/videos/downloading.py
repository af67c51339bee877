"""Sending a file for as long as somebody takes it; it is gone when the answer is."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import IO, Final

import structlog
from starlette.responses import StreamingResponse
from starlette.types import Message, Send

STALLED_SECONDS: Final = 60.0
"""In which nothing is taken: whoever asked for it is gone, and others want the place."""
CHUNK_BYTES: Final = 256 * 1024

_log = structlog.stdlib.get_logger("labelling")


class Download(StreamingResponse):
    """A file from its beginning, closed when it is sent, or when nobody takes it any more."""

    def __init__(self, file: IO[bytes], media_type: str, headers: Mapping[str, str]) -> None:
        super().__init__(_chunks_of(file), media_type=media_type, headers=headers)
        self._file = file

    async def stream_response(self, send: Send) -> None:
        """Starlette calls this."""

        async def send_in_time(message: Message) -> None:
            await asyncio.wait_for(send(message), STALLED_SECONDS)

        try:
            await super().stream_response(send_in_time)
        except TimeoutError:  # an answer that ends too early closes the connection
            _log.warning("a download broke off: nothing of it was taken", seconds=STALLED_SECONDS)
        finally:
            self._file.close()


def _chunks_of(file: IO[bytes]) -> Iterator[bytes]:
    file.seek(0)
    while chunk := file.read(CHUNK_BYTES):
        yield chunk

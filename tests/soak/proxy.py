"""A TCP proxy in front of one or several servers, which can go mute, be slow, cut connections or refuse new ones."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from tests.processes import free_port

CHUNK = 65_536
TRICKLE = 512
"""Bytes that pass at once while the proxy trickles."""


class Proxy:
    """Listens on a loopback port and forwards each connection to one of the targets in turn, if it accepts one."""

    def __init__(self, *targets: int) -> None:
        self.port = free_port()
        self._targets = deque(targets)
        self._delay = 0.0
        self._chunk = CHUNK
        self._writers: set[asyncio.StreamWriter] = set()
        self._flows = asyncio.Event()
        self._flows.set()
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name=f"proxy {targets}", daemon=True).start()
        self._run(self._listen())

    @contextmanager
    def mute(self) -> Iterator[None]:
        """Accept connections and pass nothing on, in neither direction."""
        self._loop.call_soon_threadsafe(self._flows.clear)
        try:
            yield
        finally:
            self._loop.call_soon_threadsafe(self._flows.set)

    @contextmanager
    def slow(self, delay: float, chunk: int = CHUNK) -> Iterator[None]:
        """Hold each chunk back for ``delay`` seconds."""
        self._delay, self._chunk = delay, chunk
        try:
            yield
        finally:
            self._delay, self._chunk = 0.0, CHUNK

    @contextmanager
    def refuse(self) -> Iterator[None]:
        """Cut all connections, and refuse new ones."""
        self._run(self._close())
        self.cut()
        try:
            yield
        finally:
            self._run(self._listen())

    def cut(self) -> None:
        """Reset all connections; new ones are served."""
        self._run(self._abort())

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def _close(self) -> None:
        self._server.close()

    async def _abort(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        await self._flows.wait()
        for _ in range(len(self._targets)):
            self._targets.rotate(-1)
            with suppress(OSError):
                far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._targets[0])
                break
        else:
            self._writers.discard(writer)
            writer.transport.abort()
            return
        self._writers.add(far_writer)
        await asyncio.gather(self._pump(reader, far_writer), self._pump(far_reader, writer))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(self._chunk):
                await self._flows.wait()
                if self._delay:
                    await asyncio.sleep(self._delay)
                writer.write(data)
                await writer.drain()
        self._writers.discard(writer)
        writer.close()

"""The output of the OPC UA server: its event loop runs in a thread of its own."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

import structlog

from services.gateway.outputs.opcua.security import expired
from services.gateway.outputs.opcua.vision_server import VisionServer
from services.gateway.outputs.port import LineRecipe, LineStatus, OutputRefused, OutputUnavailable, Signal
from services.gateway.outputs.settings import OpcUaSettings
from shared.addresses import host_and_port

START_SECONDS: Final = 20.0
STOP_SECONDS: Final = 10.0
HANG_SECONDS: Final = 5.0
"""A delivery that takes longer than its client may is one of a server that hangs."""
RESTART_SECONDS = 5.0
"""Between the start of a server that has ended, while no signal was to be sent, and the next start."""

_log = structlog.stdlib.get_logger("opcua")

for _name in ("asyncua", "asyncuagds"):  # they log each refused login and lost connection with a stack trace
    logging.getLogger(_name).setLevel(logging.CRITICAL)


class OpcUaServer:
    """A server whose clients get decisions as results of jobs. A signal is sent when a client has its result.

    A client has a result when it gets the event that announces it, or when it has fetched the result.
    """

    group: Final = 1
    collect_seconds: Final = 0.0
    longest_pause: Final = 0.2
    """A client that starts a job gets its first result without a long pause."""
    seconds_needed: Final = 0.0

    def __init__(self, settings: OpcUaSettings, line: str, recipe: LineRecipe | None = None) -> None:
        self._settings = settings
        self._recipe = recipe
        self._line = line
        self._status: LineStatus | None = None
        self._server: VisionServer | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end: asyncio.Event | None = None
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._started_at = 0.0
        self._closed = False
        self._ready = threading.Event()
        """Set when clients can connect, and when the server has failed."""
        self._failure = ""

    def send(self, signals: Sequence[Signal]) -> int:
        """See the port."""
        self.check()
        if not self._server or not self._loop:
            raise OutputUnavailable("the OPC UA server has ended")
        for signal in signals:
            delivery = self._server.deliver(signal)
            try:
                future = asyncio.run_coroutine_threadsafe(delivery, self._loop)
            except RuntimeError as error:
                delivery.close()
                raise OutputUnavailable("the OPC UA server has ended") from error
            try:
                future.result(self._settings.fetch_seconds + HANG_SECONDS)
            except (OutputRefused, OutputUnavailable):
                raise
            except Exception as error:
                future.cancel()
                raise OutputUnavailable(f"the OPC UA server does not take a result: {error!r}") from error
        return len(signals)

    def show(self, status: LineStatus) -> None:
        """See the port."""
        self._status = status
        if server := self._server:
            server.status, server.shown_at = status, time.monotonic()
        has_ended = self._thread is not None and not self._thread.is_alive()
        if has_ended and time.monotonic() - self._started_at >= RESTART_SECONDS:
            self._start()

    def check(self) -> None:
        """See the port."""
        self._start()
        if not self._ready.wait(START_SECONDS) or self._failure:
            address = host_and_port(self._settings.host, self._settings.port)
            raise OutputUnavailable(f"the OPC UA server on {address} does not start: {self._failure or 'it hangs'}")

    def close(self) -> None:
        """See the port."""
        self._closed = True
        if self._loop and self._end:
            with suppress(RuntimeError):  # it has ended by itself
                self._loop.call_soon_threadsafe(self._end.set)
        if self._thread:
            self._thread.join(STOP_SECONDS)

    def _start(self) -> None:
        """Start the thread, unless it runs. Two threads may call it: that of the signals, and that of the status."""
        with self._starting:
            if self._closed or (self._thread and self._thread.is_alive()):
                return
            if self._thread:
                _log.error("the OPC UA server has ended, and is started again", line=self._line, reason=self._failure)
            if reason := expired(self._settings, datetime.now(UTC)):
                _log.error("make a new certificate, and start the gateway again", line=self._line, reason=reason)
            self._ready.clear()
            self._failure = ""
            self._started_at = time.monotonic()
            self._thread = threading.Thread(target=self._serve, name="opcua", daemon=True)
            self._thread.start()

    def _serve(self) -> None:
        async def serve() -> None:
            self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
            if self._closed:
                return
            self._server = VisionServer(self._settings, self._line, self._recipe)
            self._server.status = self._status
            await self._server.serve(self._ready.set, self._end)

        try:
            asyncio.run(serve())
        except OSError as error:
            self._failure = error.strerror or str(error)
        except Exception as error:  # noqa: BLE001  the next check starts another server
            self._failure = f"{type(error).__name__}: {error}"
        finally:
            self._ready.set()

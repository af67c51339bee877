"""Serve decisions to a PLC over Modbus TCP."""

from __future__ import annotations

import asyncio
import math
import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from services.gateway.outputs.modbus_registers import SIZE, Registers
from services.gateway.outputs.port import LineStatus, OutputUnavailable, Signal
from services.gateway.outputs.settings import ModbusSettings

EVERY_DEVICE: Final = 0
"""Requests to any unit identifier are answered."""
START_SECONDS: Final = 20.0


class ModbusServer:
    """A server in a thread of its own. A signal is sent when the PLC has acknowledged it."""

    collect_seconds: Final = 0.0

    def __init__(self, settings: ModbusSettings) -> None:
        self.group = settings.buffer
        self._settings = settings
        self._registers = Registers(settings)
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server: ModbusTcpServer | None = None
        self._failure = ""

    def send(self, signals: Sequence[Signal]) -> None:
        """See the port."""
        self.check()
        moment = datetime.now(UTC)
        seconds = [
            (signal.deadline_at - moment).total_seconds() if signal.deadline_at else math.inf for signal in signals
        ]
        sent = self._registers.deliver(signals, seconds)
        if sent < len(signals):
            wanted = "did not acknowledge a result in time" if self._registers.wanted else "has set offline"
            raise OutputUnavailable(f"the PLC {wanted}", sent)

    def show(self, status: LineStatus) -> None:
        """See the port."""
        self._registers.show(status)

    def check(self) -> None:
        """See the port."""
        if self._thread and self._thread.is_alive():
            return
        host, port = self._settings.host, self._settings.port
        with socket.socket() as probe:  # pymodbus only logs that it can't listen
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                raise OutputUnavailable(f"can't listen on {host}:{port}: {error.strerror}") from error
        ready, self._failure = threading.Event(), ""
        self._thread = threading.Thread(target=self._serve, args=(ready,), name="modbus", daemon=True)
        self._thread.start()
        if not ready.wait(START_SECONDS) or self._failure:
            raise OutputUnavailable(f"the server on {host}:{port} does not start: {self._failure or 'it hangs'}")

    def close(self) -> None:
        """See the port."""
        if self._loop and self._server:
            with suppress(RuntimeError):  # it has ended by itself
                asyncio.run_coroutine_threadsafe(self._server.shutdown(), self._loop).result(START_SECONDS)
        if self._thread:
            self._thread.join(START_SECONDS)

    def _serve(self, ready: threading.Event) -> None:
        async def serve() -> None:
            self._loop = asyncio.get_running_loop()
            device = SimDevice(
                id=EVERY_DEVICE,
                simdata=[SimData(0, count=SIZE, values=0, datatype=DataType.REGISTERS)],
                action=self._access,
            )
            self._server = ModbusTcpServer(device, address=(self._settings.host, self._settings.port))
            await self._server.serve_forever(background=True)
            ready.set()
            await self._server.serving

        try:
            asyncio.run(serve())
        except Exception as error:  # noqa: BLE001  the dispatcher reports it, and starts another server
            self._failure = f"{type(error).__name__}: {error}"
        finally:
            ready.set()

    async def _access(
        self,
        _function: int,
        _start: int,
        address: int,
        _count: int,
        registers: list[int],
        written: list[int] | list[bool] | None,
    ) -> ExcCodes | None:
        """Take what the PLC writes, and show it the registers of this moment."""
        if written is not None and not self._registers.write(address, [int(value) for value in written]):
            return ExcCodes.ILLEGAL_ADDRESS
        registers[:SIZE] = self._registers.read()
        return None

"""Serve registers over Modbus TCP, in a thread."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import suppress
from typing import Final

from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import SimDevice

from shared.addresses import host_and_port, listening_family

EVERY_DEVICE: Final = 0
"""The id of a device that answers requests to any unit identifier."""
START_SECONDS: Final = 20.0


class ModbusUnavailable(Exception):
    """The server can't listen, or does not start."""


class ModbusThread:
    """A Modbus TCP server."""

    def __init__(self, device: SimDevice, host: str, port: int) -> None:
        self._device = device
        self._host = host
        self._port = port
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server: ModbusTcpServer | None = None
        self._failure = ""

    def start(self) -> None:
        """Start the server, unless it runs.

        Raises:
            ModbusUnavailable: the address is taken, or the server fails.
        """
        if self._thread and self._thread.is_alive():
            return
        address = host_and_port(self._host, self._port)
        try:  # pymodbus only logs that it can't listen
            family = listening_family(self._host, self._port)
            with socket.socket(family) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # as asyncio sets it
                probe.bind((self._host, self._port))
        except OSError as error:
            raise ModbusUnavailable(f"can't listen on {address}: {error.strerror}") from error
        ready, self._failure = threading.Event(), ""
        self._thread = threading.Thread(target=self._serve, args=(ready,), name="modbus", daemon=True)
        self._thread.start()
        if not ready.wait(START_SECONDS) or self._failure:
            reason = self._failure or "it hangs"
            raise ModbusUnavailable(f"the server on {address} does not start: {reason}")

    def close(self) -> None:
        """Stop the server, and its connections."""
        if self._loop and self._server:
            with suppress(RuntimeError):  # the loop has ended
                asyncio.run_coroutine_threadsafe(self._server.shutdown(), self._loop).result(START_SECONDS)
        if self._thread:
            self._thread.join(START_SECONDS)

    def _serve(self, ready: threading.Event) -> None:
        async def serve() -> None:
            self._loop = asyncio.get_running_loop()
            self._server = ModbusTcpServer(self._device, address=(self._host, self._port))
            await self._server.serve_forever(background=True)
            ready.set()
            await self._server.serving

        try:
            asyncio.run(serve())
        except Exception as error:  # noqa: BLE001  the next `start` starts another server
            self._failure = f"{type(error).__name__}: {error}"
        finally:
            ready.set()


def words(number: int, count: int) -> list[int]:
    """Return a number as registers of 16 bits, the high one first."""
    return [number >> 16 * place & 0xFFFF for place in reversed(range(count))]


def text_registers(text: str, count: int) -> list[int]:
    """Return a text as registers of two ASCII characters each, ended by zeros; what finds no room is cut off."""
    content = text.encode("ascii", "replace")[: 2 * count].ljust(2 * count, b"\0")
    return [int.from_bytes(content[place : place + 2], "big") for place in range(0, 2 * count, 2)]


def text_of(registers: list[int]) -> str:
    """Return the text of registers of two characters each, up to the first zero."""
    content = b"".join(register.to_bytes(2, "big") for register in registers)
    return content.partition(b"\0")[0].decode("ascii", "replace")

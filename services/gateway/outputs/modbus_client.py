"""Write decisions into the registers of a PLC that is a Modbus TCP server, and read what it acknowledges."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import closing, suppress
from typing import Final

from services.gateway.outputs.modbus_handshake import ModbusHandshake
from services.gateway.outputs.modbus_registers import (
    CONTROL,
    NUMBER,
    RECIPE,
    RESULT,
    STATUS,
    STATUS_END,
    TAKEN,
    Status,
)
from services.gateway.outputs.port import LineRecipe, LineStatus, OutputUnavailable, Signal
from services.gateway.outputs.settings import BLOCK, ModbusClientSettings
from shared.addresses import host_and_port
from shared.modbus_client import ModbusClient, PlcUnavailable

RETRY_SECONDS: Final = 0.5
"""Seconds between two attempts to connect."""
CLOSING_SECONDS: Final = 10.0


class ModbusClientOutput(ModbusHandshake):
    """A client of a PLC. A thread copies the registers of the handshake to the PLC, and the control word from it.

    The thread starts with the first status or signal. Before, `check` only reads: another gateway may write there.
    """

    def __init__(self, settings: ModbusClientSettings, recipe: LineRecipe | None = None) -> None:
        super().__init__(settings, recipe, host_and_port(settings.host, settings.port))
        self._settings = settings
        self._stop = threading.Event()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._failure = ""
        """Why the last exchange with the PLC failed; empty if it did not fail."""
        self._exchanged = threading.Event()
        """Set after the first exchange with the PLC has ended or failed."""
        self._control = 0
        self._taken: int | None = None
        """The number in the register `TAKEN` at the last read; None before the first one."""
        self._recipe = 0
        """The number in the register `RECIPE` at the last read."""
        self._written: list[int] = []
        """The registers of the block as the PLC has them; empty if that is not known."""

    def send(self, signals: Sequence[Signal]) -> int:
        """See the port."""
        self._start()
        return super().send(signals)

    def show(self, status: LineStatus) -> None:
        """See the port."""
        super().show(status)
        self._start()

    def check(self) -> None:
        """See the port. The registers of the block are read."""
        if self._thread is None:
            with closing(self._connection()) as plc:
                try:
                    plc.read_registers(self._settings.address, BLOCK)
                except PlcUnavailable as error:
                    raise OutputUnavailable(str(error)) from error
            return
        self._exchanged.wait(self._settings.timeout_seconds + RETRY_SECONDS)
        if self._failure or not self._exchanged.is_set():
            raise OutputUnavailable(self._failure or "the PLC has not answered so far")

    def close(self) -> None:
        """See the port. *online* and *results valid* fall."""
        self._stop.set()
        if self._thread:
            self._thread.join(CLOSING_SECONDS)
        super().close()

    def _start(self) -> None:
        """Start the thread, unless it runs. Two threads may call it: that of the signals, and that of the status."""
        with self._starting:
            if self._thread is None and not self._stop.is_set():
                self._thread = threading.Thread(target=self._exchange_until_closed, name="modbus client", daemon=True)
                self._thread.start()

    def _connection(self) -> ModbusClient:
        settings = self._settings
        return ModbusClient(settings.host, settings.port, settings.unit, settings.timeout_seconds)

    def _exchange_until_closed(self) -> None:
        version = 0
        with closing(self._connection()) as plc:
            while not self._stop.is_set():
                try:
                    self._exchange(plc)
                except PlcUnavailable as error:
                    self._failure, self._written = str(error), []
                    self._exchanged.set()
                    self._stop.wait(RETRY_SECONDS)
                else:
                    self._failure = ""
                    self._exchanged.set()
                    version = self.registers.wait(version, self._settings.poll_ms / 1000)
            with suppress(PlcUnavailable):
                plc.write_registers(self._settings.address + STATUS, [0])

    def _exchange(self, plc: ModbusClient) -> None:
        """Read what the PLC has written, and write what has changed.

        What is in `TAKEN` and `RECIPE` when the gateway starts acknowledges nothing and requests nothing: it is of the
        gateway before.
        """
        base = self._settings.address
        block = plc.read_registers(base + CONTROL, RECIPE - CONTROL + 1)
        control, taken, recipe = block[CONTROL], block[TAKEN], block[RECIPE]
        if self._taken is None:
            self._recipe = recipe
            self.registers.resume(plc.read_registers(base + NUMBER, 1)[0])
        elif taken != self._taken:
            self.registers.write(TAKEN, [taken])
        self._taken = taken
        if recipe != self._recipe:
            self._recipe = recipe
            self.registers.write(RECIPE, [recipe])
        if control != self._control:
            self._control = control
            self.registers.write(CONTROL, [control])
        if self._written and not self._written[STATUS] & Status.RESULTS_VALID:
            self.registers.mark_seen()  # only now, when what the PLC wrote before it saw that is read
        registers, written = self.registers.read(seen=False)[:BLOCK], self._written or [-1] * BLOCK
        if registers[RESULT:] != written[RESULT:]:
            plc.write_registers(base + NUMBER + 1, registers[NUMBER + 1 :])
            plc.write_registers(base + NUMBER, registers[NUMBER : NUMBER + 1])  # last: it announces the other ones
        if registers[STATUS:STATUS_END] != written[STATUS:STATUS_END]:
            plc.write_registers(base + STATUS, registers[STATUS:STATUS_END])
        self._written = registers

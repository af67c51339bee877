"""Serve decisions to a PLC over Modbus TCP."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from pymodbus.constants import ExcCodes
from pymodbus.simulator import DataType, SimData, SimDevice

from services.gateway.outputs.modbus_registers import SIZE, Registers
from services.gateway.outputs.port import LineStatus, OutputUnavailable, Signal
from services.gateway.outputs.settings import ModbusSettings
from shared.modbus_server import EVERY_DEVICE, ModbusThread, ModbusUnavailable


class ModbusServer:
    """A server whose registers a PLC reads. A signal is sent when the PLC has acknowledged it."""

    collect_seconds: Final = 0.0
    longest_pause: Final = 0.2
    """The PLC calls; a result that it might take is shown without a long pause."""

    def __init__(self, settings: ModbusSettings) -> None:
        self.group = settings.buffer
        self._ack_seconds = settings.ack_seconds
        self._registers = Registers(settings)
        device = SimDevice(
            id=EVERY_DEVICE,
            simdata=[SimData(0, count=SIZE, values=0, datatype=DataType.REGISTERS)],
            action=self._access,
        )
        self._server = ModbusThread(device, settings.host, settings.port)

    @property
    def seconds_needed(self) -> float:
        """See the port."""
        return self._registers.seconds_needed

    def send(self, signals: Sequence[Signal]) -> int:
        """See the port. A PLC that acknowledges results works, also when it is slower than the parts."""
        self.check()
        moment = datetime.now(UTC)
        seconds = [
            (signal.deadline_at - moment).total_seconds() if signal.deadline_at else math.inf for signal in signals
        ]
        sent = self._registers.deliver(signals, seconds)
        if not sent and self._registers.seconds_unacknowledged >= self._ack_seconds:
            wanted = "did not acknowledge a result in time" if self._registers.wanted else "has set offline"
            raise OutputUnavailable(f"the PLC {wanted}")
        return sent

    def show(self, status: LineStatus) -> None:
        """See the port."""
        self._registers.show(status)

    def check(self) -> None:
        """See the port."""
        try:
            self._server.start()
        except ModbusUnavailable as error:
            raise OutputUnavailable(str(error)) from error

    def close(self) -> None:
        """See the port."""
        self._server.close()

    async def _access(
        self,
        _function: int,
        _start: int,
        address: int,
        _count: int,
        registers: list[int],
        written: list[int] | list[bool] | None,
    ) -> ExcCodes | None:
        """Take what the PLC writes, or show it the registers of this moment."""
        if written is None:
            registers[:SIZE] = self._registers.read()
        elif not self._registers.write(address, [int(value) for value in written]):
            return ExcCodes.ILLEGAL_ADDRESS
        return None

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
    """A Modbus server whose registers a PLC reads. A signal counts as sent when the PLC has acknowledged it."""

    collect_seconds: Final = 0.0
    longest_pause: Final = 0.2
    """Short, so that a result is shown soon after the PLC is back."""

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
        """See the port. A PLC that acknowledges some of the results counts as available, even if it is too slow."""
        self.check()
        moment = datetime.now(UTC)
        seconds = [
            (signal.deadline_at - moment).total_seconds() if signal.deadline_at else math.inf for signal in signals
        ]
        sent = self._registers.deliver(signals, seconds)
        if not sent and self._registers.seconds_unacknowledged >= self._ack_seconds:
            raise OutputUnavailable(
                "the PLC did not acknowledge a result in time" if self._registers.wanted else "the PLC has set offline"
            )
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
        """Apply what the PLC writes; or, if it reads, update ``registers`` to their present values."""
        if written is None:
            registers[:SIZE] = self._registers.read()
        elif not self._registers.write(address, [int(value) for value in written]):
            return ExcCodes.ILLEGAL_ADDRESS
        return None

"""Accept triggers over Modbus TCP as the server: the PLC sets a coil and reads the answer."""

from __future__ import annotations

from typing import Final

from pymodbus.constants import ExcCodes
from pymodbus.simulator import DataType, SimData, SimDevice

from services.camera.errors import CameraError
from services.camera.settings import ListenAddress
from services.camera.triggers.modbus_registers import CHECK, INPUTS, TEXTS_LENGTH, TRIGGER, TriggerRegisters
from services.camera.triggers.triggers import Triggers
from shared.modbus_server import EVERY_DEVICE, ModbusThread, ModbusUnavailable

READ_DISCRETE_INPUTS: Final = 2
READ_INPUT_REGISTERS: Final = 4
WRITE_COILS: Final = (5, 15)
"""Function codes."""


class ModbusTriggers:
    """A Modbus server with the coil of the trigger and the registers of the answer."""

    def __init__(self, triggers: Triggers, address: ListenAddress) -> None:
        """Start the server; raises `CameraError`."""
        self._registers = TriggerRegisters(triggers)
        self._texts = [0] * TEXTS_LENGTH
        self._is_check = False
        bits = [SimData(0, values=[False] * 16, datatype=DataType.BITS)]
        device = SimDevice(
            id=EVERY_DEVICE,
            simdata=(
                bits,
                list(bits),
                [SimData(0, count=TEXTS_LENGTH, values=0, datatype=DataType.REGISTERS)],
                [SimData(0, count=INPUTS, values=0, datatype=DataType.REGISTERS)],
            ),
            action=self._access,
        )
        self._server = ModbusThread(device, *address)
        try:
            self._server.start()
        except ModbusUnavailable as error:
            raise CameraError(f"CAMERA_TRIGGER_MODBUS: {error}") from error

    def close(self) -> None:
        """Stop listening."""
        self._server.close()

    async def _access(
        self,
        function: int,
        _start: int,
        address: int,
        _count: int,
        registers: list[int],
        written: list[int] | list[bool] | None,
    ) -> ExcCodes | None:
        """Apply what the PLC writes; or, if it reads, update ``registers`` to their present values."""
        if written is None:
            if function == READ_DISCRETE_INPUTS:
                registers[0] = sum(bit << place for place, bit in enumerate(self._registers.bits))
            elif function == READ_INPUT_REGISTERS:
                registers[:INPUTS] = self._registers.inputs
        elif function in WRITE_COILS:
            if address not in (TRIGGER, CHECK) or len(written) != 1:
                return ExcCodes.ILLEGAL_ADDRESS
            if address == CHECK:
                self._is_check = bool(written[0])
            else:
                self._registers.set(self._texts, coil=bool(written[0]), check=self._is_check)
        else:
            self._texts[address : address + len(written)] = [int(value) for value in written]
        return None

"""Serve decisions to a PLC over Modbus TCP."""

from __future__ import annotations

from pymodbus.constants import ExcCodes
from pymodbus.simulator import DataType, SimData, SimDevice

from services.gateway.outputs.modbus_handshake import ModbusHandshake
from services.gateway.outputs.modbus_registers import SIZE
from services.gateway.outputs.port import LineRecipe, OutputUnavailable
from services.gateway.outputs.settings import ModbusSettings
from shared.addresses import host_and_port
from shared.modbus_server import EVERY_DEVICE, ModbusThread, ModbusUnavailable


class ModbusServer(ModbusHandshake):
    """A Modbus server whose registers a PLC reads and writes."""

    def __init__(self, settings: ModbusSettings, recipe: LineRecipe | None = None) -> None:
        super().__init__(settings, recipe, host_and_port(settings.host, settings.port))
        device = SimDevice(
            id=EVERY_DEVICE,
            simdata=[SimData(0, count=SIZE, values=0, datatype=DataType.REGISTERS)],
            action=self._access,
        )
        self._server = ModbusThread(device, settings.host, settings.port)

    def check(self) -> None:
        """See the port."""
        try:
            self._server.start()
        except ModbusUnavailable as error:
            raise OutputUnavailable(str(error)) from error

    def close(self) -> None:
        """See the port."""
        self._server.close()
        super().close()

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
            registers[:SIZE] = self.registers.read()
        elif not self.registers.write(address, [int(value) for value in written]):
            return ExcCodes.ILLEGAL_ADDRESS
        return None

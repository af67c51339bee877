"""Read and write the registers and coils of a PLC that is a Modbus TCP server."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

from pymodbus.client import ModbusTcpClient
from pymodbus.constants import ExcCodes
from pymodbus.exceptions import ModbusException

from shared.addresses import host_and_port

MOST_REGISTERS: Final = 120
"""Most registers of one request; Modbus allows 123 to be written."""
REFUSALS: Final = {
    ExcCodes.ILLEGAL_FUNCTION: "it does not know this function code",
    ExcCodes.ILLEGAL_ADDRESS: "it has no such address",
    ExcCodes.ILLEGAL_VALUE: "it does not take this value",
    ExcCodes.DEVICE_BUSY: "it is busy",
    ExcCodes.GATEWAY_PATH_UNAVIABLE: "there is no way to this unit",
    ExcCodes.GATEWAY_NO_RESPONSE: "this unit does not answer",
}

logging.getLogger("pymodbus.logging").setLevel(logging.CRITICAL)  # it logs each failed attempt to connect


class PlcUnavailable(Exception):
    """The PLC can't be reached, does not answer, or refuses a request; a later attempt may succeed."""


class ModbusClient:
    """The connection to a PLC, which is opened by the first request after it was lost. For one thread at a time."""

    def __init__(self, host: str, port: int, unit: int, timeout_seconds: float) -> None:
        self._host, self._port = host, port
        self._address = host_and_port(host, port)
        self._unit = unit
        self._timeout_seconds = timeout_seconds
        self._client = ModbusTcpClient(host, port=port, timeout=timeout_seconds, retries=0)

    def read_registers(self, address: int, count: int, *, are_inputs: bool = False) -> list[int]:
        """Return holding registers, or input registers; raises `PlcUnavailable`, as all requests do."""
        read = self._client.read_input_registers if are_inputs else self._client.read_holding_registers
        found: list[int] = []
        for start in range(address, address + count, MOST_REGISTERS):
            some = min(MOST_REGISTERS, address + count - start)
            answer = self._ask(
                f"to read registers {start} to {start + some - 1}",
                partial(read, start, count=some, device_id=self._unit),
            )
            found += answer.registers
        return found

    def read_coils(self, address: int, count: int) -> list[bool]:
        """Return whether coils are set."""
        answer = self._ask(
            f"to read coils {address} to {address + count - 1}",
            lambda: self._client.read_coils(address, count=count, device_id=self._unit),
        )
        return [bool(bit) for bit in answer.bits[:count]]

    def write_registers(self, address: int, values: Sequence[int]) -> None:
        """Write holding registers: at most `MOST_REGISTERS`."""
        self._ask(
            f"to write registers {address} to {address + len(values) - 1}",
            lambda: self._client.write_registers(address, list(values), device_id=self._unit),
        )

    def write_coils(self, address: int, values: Sequence[bool]) -> None:
        """Write coils."""
        self._ask(
            f"to write coils {address} to {address + len(values) - 1}",
            lambda: self._client.write_coils(address, list(values), device_id=self._unit),
        )

    def close(self) -> None:
        """Disconnect; the next request connects again."""
        self._client.close()

    def _ask(self, what: str, request: Callable[[], Any]) -> Any:
        try:
            if not self._client.connected:  # pymodbus does not say why it can't connect
                self._client.socket = socket.create_connection((self._host, self._port), self._timeout_seconds)
            answer = request()
        except OSError as error:
            self.close()
            reason = "no answer in time" if isinstance(error, TimeoutError) else error.strerror or error
            raise PlcUnavailable(f"the PLC {self._address} can't be reached: {reason}") from error
        except ModbusException as error:
            self.close()
            raise PlcUnavailable(
                f"the PLC {self._address}, unit {self._unit}, did not answer in {self._timeout_seconds:g} s, or ended "
                "the connection"
            ) from error
        if answer.isError():
            reason = REFUSALS.get(answer.exception_code, f"exception code {answer.exception_code}")
            raise PlcUnavailable(f"the PLC {self._address} refuses {what} of unit {self._unit}: {reason}")
        return answer

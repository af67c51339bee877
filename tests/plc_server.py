"""A PLC of a test that is a Modbus server: its memory, and as a process of its own the handshake of results.

``python -m tests.plc_server PORT FILE HOLD``: each result, and each change of the status, is a line of JSON in FILE.
While the file HOLD is there, results are not acknowledged.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from pymodbus.constants import ExcCodes
from pymodbus.simulator import DataType, SimData, SimDevice

from shared.modbus_server import ModbusThread

UNIT = 7
BASE = 100
"""The first register of the block in which the gateway writes results."""
REGISTERS, COILS = 400, 64
READ_COILS, WRITE_COILS = 1, (5, 15)
CYCLE_SECONDS = 0.01
ONLINE, VALID, OVERRUN, TEST = 1, 2, 4, 16


class PlcServer:
    """The memory of a PLC, which clients read and write."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self.registers = [0] * REGISTERS
        self.coils = [False] * COILS
        self.written: list[tuple[float, int, list[bool]]] = []
        """When coils were written, in seconds of the steady clock; the first address; the values."""
        bits = [SimData(0, values=[False] * COILS, datatype=DataType.BITS)]
        words = [SimData(0, count=REGISTERS, values=0, datatype=DataType.REGISTERS)]
        device = SimDevice(id=UNIT, simdata=(bits, list(bits), words, list(words)), action=self._access)
        self.server = ModbusThread(device, host, port)
        """Start it when the memory is filled."""

    async def _access(
        self,
        function: int,
        _start: int,
        address: int,
        _count: int,
        registers: list[int],
        written: list[int] | list[bool] | None,
    ) -> ExcCodes | None:
        if written is None and function == READ_COILS:
            for word in range(COILS // 16):
                registers[word] = sum(bit << place for place, bit in enumerate(self.coils[16 * word : 16 * word + 16]))
        elif written is None:
            registers[:REGISTERS] = self.registers
        elif function in WRITE_COILS:
            values = [bool(value) for value in written]
            self.coils[address : address + len(values)] = values
            self.written.append((time.monotonic(), address, values))
        else:
            self.registers[address : address + len(written)] = [int(value) for value in written]
        return None


def main(port: int, file: Path, hold: Path) -> None:
    plc = PlcServer(port)
    plc.server.start()
    acknowledged, number, before = False, 0, dict[str, Any]()
    with file.open("a") as log:

        def write(entry: dict[str, Any]) -> None:
            log.write(json.dumps(entry) + "\n")
            log.flush()

        while True:
            time.sleep(CYCLE_SECONDS)
            block = plc.registers[BASE : BASE + 124]
            status = block[16]
            now = {"online": bool(status & ONLINE), "overrun": bool(status & OVERRUN), "error": block[18]}
            if now != before:
                write(before := now)
            if status & VALID and not acknowledged and not hold.exists():
                name = b"".join(word.to_bytes(2, "big") for word in block[92:124]).rstrip(b"\0").decode()
                if block[64] != number:  # else it was shown again
                    result = {"number": block[64], "verdict": block[65], "labels": block[67], "part": name}
                    write({**result, "test": bool(status & TEST)})
                number = block[64]
                plc.registers[BASE], acknowledged = 1, True
            elif acknowledged and not status & VALID:
                plc.registers[BASE], acknowledged = 0, False


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))

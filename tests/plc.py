"""A PLC of a test, as a process of its own: it reads the registers in a cycle and runs the handshake of results.

``python -m tests.plc PORT FILE HOLD``: each result, and each change of the status, is a line of JSON in FILE. While the
file HOLD is there, results are not acknowledged.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from pymodbus.client import ModbusTcpClient

CYCLE_SECONDS = 0.01
ONLINE, VALID, OVERRUN, TEST = 1, 2, 4, 16


def main(port: int, file: Path, hold: Path) -> None:
    client = ModbusTcpClient("127.0.0.1", port=port, timeout=1, retries=0)
    acknowledged, heartbeats, last_beat, number = False, 0, -1, 0
    before: dict[str, Any] | None = None
    with file.open("a") as log:
        while True:
            time.sleep(CYCLE_SECONDS)
            if not client.connected and not client.connect():
                before = write_change(log, before, {"online": False, "overrun": False, "error": -1})
                continue
            try:
                answer = client.read_holding_registers(0, count=124)
                registers = answer.registers
                status = registers[16]
                if registers[17] != last_beat:
                    last_beat, heartbeats = registers[17], heartbeats + 1
                now = {"online": bool(status & ONLINE), "overrun": bool(status & OVERRUN), "error": registers[18]}
                before = write_change(log, before, now)
                if status & VALID and not acknowledged and not hold.exists():
                    name = b"".join(word.to_bytes(2, "big") for word in registers[92:124]).rstrip(b"\0").decode()
                    result = {
                        "number": registers[64],
                        "verdict": registers[65],
                        "action": registers[66],
                        "labels": registers[67],
                        "scores": registers[70:72],
                        "part": name,
                        "test": bool(status & TEST),
                        "parts": [registers[22] << 16 | registers[23], registers[24] << 16 | registers[25]],
                        "heartbeats": heartbeats,
                    }
                    if result["number"] != number:  # else it was shown again
                        log.write(json.dumps(result) + "\n")
                        log.flush()
                    number = result["number"]
                    client.write_register(0, 1)
                    acknowledged = True
                elif acknowledged and not status & VALID:
                    client.write_register(0, 0)
                    acknowledged = False
            except Exception:  # noqa: BLE001  the server is away
                client.close()


def write_change(log: Any, before: object, now: dict[str, Any]) -> dict[str, Any]:
    if now != before:
        log.write(json.dumps(now) + "\n")
        log.flush()
    return now


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))

"""Measure the time from capture to the signal at a PLC, by parts per second, on both brokers.

``python -m benchmarks.parts``: a gateway in a process of its own gets one verdict per part, whose frame was captured a
moment before, and a PLC in another process acknowledges each result over Modbus TCP. The network's time is not in it: a
verdict is sent at once. The last row of each broker is of a PLC that can't take each part: what it takes has to be on
time nevertheless. RabbitMQ is that of the tests (``SEAMLINE_TEST_SERVERS=packages``).
"""

from __future__ import annotations

import multiprocessing
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
from pymodbus.client import ModbusTcpClient
from ulid import ULID

from services.gateway.outputs.modbus_registers import CAPTURED, NAME, NUMBER, STATUS, TAKEN, Status
from shared.messages import frame_id
from shared.modbus_server import text_of
from shared.storage.filesystem import FilesystemStore
from tests import servers
from tests.broker_address import BrokerAddress
from tests.parts import RECIPE, verdict
from tests.processes import free_port, listens, wait_until
from tests.workers import Line

CASES: Final = ((10, 0.0), (50, 0.0), (200, 0.0), (200, 0.010))
"""Parts per second, and the seconds that the PLC needs for a result beside the time of its requests."""
SECONDS: Final = 15.0
DEADLINE_MS: Final = 500


@contextmanager
def line_with_gateway(address: BrokerAddress, folder: Path) -> Iterator[tuple[Line, int]]:
    """A line whose gateway serves Modbus at the port."""
    line, port = Line(address, folder), free_port()
    parts = f"parts: {{of: frame, deadline_ms: {DEADLINE_MS}}}"
    FilesystemStore(line.objects).put("models/seam/v1/recipe.yaml", f"{RECIPE}\n{parts}".encode())
    output = f"{{type: modbus, port: {port}, deadline_ms: {DEADLINE_MS}, buffer: 64}}"
    (folder / "lines.yaml").write_text(f"lines: {{line-1: {{outputs: {{plc: {output}}}}}}}")
    with line.running("gateway", FOLDER=str(folder / "gateway"), LINES=str(folder / "lines.yaml")):
        wait_until(lambda: listens(port), 120, "the gateway")
        yield line, port
    line.broker.close()


def publish(address: BrokerAddress, session: str, rate: int) -> None:
    """Publish a verdict per part at an even pace, in a process of its own."""
    broker = address.open()
    publisher, began = broker.publisher(), time.monotonic()
    for sequence in range(int(rate * SECONDS)):
        time.sleep(max(0.0, began + sequence / rate - time.monotonic()))
        publisher.publish(verdict(sequence, captured_at=datetime.now(UTC), frame_id=frame_id(session, sequence)))
    broker.close()


def measure(line: Line, port: int, rate: int, plc_seconds: float) -> np.ndarray:
    """Return the milliseconds from capture to the PLC of each part; those that never came are infinite."""
    plc = ModbusTcpClient("127.0.0.1", port=port)
    assert plc.connect()
    session, parts = str(ULID()), int(rate * SECONDS)
    camera = multiprocessing.get_context("spawn").Process(target=publish, args=(line.address, session, rate))
    camera.start()
    seen: dict[str, float] = {}
    taken, ends = 0, time.monotonic() + SECONDS + 10
    while time.monotonic() < ends and len(seen) < parts:
        answer = plc.readwrite_registers(read_address=0, read_count=124, write_address=TAKEN, values=[taken])
        registers = answer.registers
        if registers[STATUS] & Status.RESULTS_VALID:
            taken = registers[NUMBER]
            captured = int.from_bytes(b"".join(word.to_bytes(2, "big") for word in registers[CAPTURED : CAPTURED + 4]))
            name = text_of(registers[NAME:])
            if name.startswith(session):
                seen.setdefault(name, time.time() * 1000 - captured)
            time.sleep(plc_seconds)
        else:
            time.sleep(0.002)
    plc.write_register(TAKEN, taken)
    camera.join()
    plc.close()
    return np.array([*seen.values(), *[np.inf] * (parts - len(seen))])


def main() -> None:
    """Print one row for each broker and case; the quantiles are those of the parts that the PLC received."""
    sys.stdout.write(
        "broker    parts/s  PLC ms   parts   p50 ms   p99 ms  p99.9 ms   after the deadline   received/s\n"
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        endpoint, server = servers.start_rabbitmq(folder / "rabbitmq")
        rabbitmq = BrokerAddress(f"amqp://127.0.0.1:{endpoint.port}/%2F", endpoint.user, endpoint.password)
        try:
            for broker, address in (("embedded", BrokerAddress(f"sqlite:///{folder}/broker")), ("rabbitmq", rabbitmq)):
                own = folder / f"line-{broker}"
                own.mkdir()
                with line_with_gateway(address, own) as (line, port):
                    measure(line, port, *CASES[0])  # everything is loaded
                    for rate, plc_seconds in CASES:
                        times = measure(line, port, rate, plc_seconds)
                        received = times[np.isfinite(times)]
                        p50, p99, p999 = np.quantile(received, [0.5, 0.99, 0.999], method="higher")
                        late = np.mean(times > DEADLINE_MS)
                        sys.stdout.write(
                            f"{broker:9} {rate:7} {1000 * plc_seconds:7.0f} {len(times):7} {p50:8.1f} {p99:8.1f} "
                            f"{p999:9.1f} {late:20.2%} {np.mean(times <= DEADLINE_MS) * rate:12.1f}\n"
                        )
                        sys.stdout.flush()
        finally:
            server.remove()


if __name__ == "__main__":
    main()

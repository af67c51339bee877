"""Measure the time from capture to the signal at a PLC, by parts per second, on both brokers.

``python -m benchmarks.parts``, or ``python -m benchmarks.parts opcua`` for one of the outputs ``modbus`` and ``opcua``:
a gateway in a process of its own gets one verdict per part, whose frame was captured a moment before. A PLC in another
process acknowledges each result over Modbus TCP, or an OPC UA client that has subscribed to ResultReady gets its event,
without encryption, by a publishing interval of 10 ms. The network's time is not in it: a verdict is sent at once. The
last row of Modbus is of a PLC that can't take each part: what it takes has to be on time nevertheless. RabbitMQ is that
of the tests (``SEAMLINE_TEST_SERVERS=packages``).
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any, Final

import numpy as np
from asyncua import Client, ua
from pymodbus.client import ModbusTcpClient
from ulid import ULID

from services.gateway.outputs.modbus_registers import CAPTURED, NAME, NUMBER, STATUS, TAKEN, Status
from services.gateway.outputs.opcua.address_space import AUTOMATIC, EVENTS, MACHINE, NAMESPACE, SPECIFICATION, SYSTEM
from shared.messages import frame_id
from shared.modbus_server import text_of
from shared.storage.filesystem import FilesystemStore
from tests import servers
from tests.broker_address import BrokerAddress
from tests.integration.gateway.test_modbus import Reports
from tests.parts import RECIPE, verdict
from tests.processes import free_port, listens, wait_until
from tests.workers import Line

RATES: Final = (10, 50, 200)
"""Parts per second."""
SLOW_PLC: Final = 0.010
"""Seconds that a slow PLC needs for a result beside the time of its requests."""
PUBLISHING_MS: Final = 10
"""The publishing interval that the OPC UA client asks for."""
SECONDS: Final = 15.0
DEADLINE_MS: Final = 500


OUTPUTS: Final = {"modbus": "buffer: 64", "opcua": "anonymous: true, automatic: true, recipes: [seam], buffer: 1000"}
"""The settings of each output, beside its port and its deadline."""


@contextmanager
def line_with_gateway(address: BrokerAddress, folder: Path, output: str) -> Iterator[tuple[Line, int]]:
    """A line whose cameras and workers report, and whose gateway serves an output at the port."""
    line, port = Line(address, folder), free_port()
    parts = f"parts: {{of: frame, deadline_ms: {DEADLINE_MS}}}"
    FilesystemStore(line.objects).put("models/seam/v1/recipe.yaml", f"{RECIPE}\n{parts}".encode())
    settings = f"{{type: {output}, port: {port}, deadline_ms: {DEADLINE_MS}, {OUTPUTS[output]}}}"
    (folder / "lines.yaml").write_text(f"lines: {{line-1: {{outputs: {{plc: {settings}}}}}}}")
    reports = Reports(line)
    try:
        with line.running("gateway", FOLDER=str(folder / "gateway"), LINES=str(folder / "lines.yaml")):
            wait_until(lambda: listens(port), 120, "the gateway")
            yield line, port
    finally:
        reports.end()
        line.broker.close()


def publish(address: BrokerAddress, session: str, rate: int) -> None:
    """Publish a verdict per part at an even pace, in a process of its own."""
    broker = address.open()
    publisher, began = broker.publisher(), time.monotonic()
    for sequence in range(int(rate * SECONDS)):
        time.sleep(max(0.0, began + sequence / rate - time.monotonic()))
        publisher.publish(verdict(sequence, captured_at=datetime.now(UTC), frame_id=frame_id(session, sequence)))
    broker.close()


@contextmanager
def publishing(line: Line, session: str, rate: int) -> Iterator[None]:
    """Publish the verdicts of a session beside the block."""
    camera = multiprocessing.get_context("spawn").Process(target=publish, args=(line.address, session, rate))
    camera.start()
    yield
    camera.join()


def measure(output: str, line: Line, port: int, rate: int, plc_seconds: float) -> np.ndarray:
    """Return the milliseconds from capture to the PLC of each part; those that never came are infinite."""
    session, parts = str(ULID()), int(rate * SECONDS)
    if output == "opcua":
        seen = asyncio.run(take_events(port, session, parts, lambda: publishing(line, session, rate)))
    else:
        with publishing(line, session, rate):
            seen = take_results(port, session, parts, plc_seconds)
    return np.array([*seen.values(), *[np.inf] * (parts - len(seen))])


class Events:
    """The results of a session, by the events that an OPC UA client gets."""

    def __init__(self, session: str) -> None:
        self._session = session
        self.milliseconds: dict[str, float] = {}
        """From the capture to the event, by part."""

    def event_notification(self, event: Any) -> None:
        """Note the event of a result, in the loop of the client."""
        signal = json.loads(event.ResultContent[2].Value)
        if signal["part"].startswith(self._session):
            captured = datetime.fromisoformat(signal["captured_at"]).timestamp()
            self.milliseconds.setdefault(signal["part"], 1000 * (time.time() - captured))


async def take_events(
    port: int, session: str, parts: int, verdicts: Callable[[], AbstractContextManager[None]]
) -> dict[str, float]:
    """Return the milliseconds from capture to the event of each part that came; ``verdicts`` publishes them."""
    async with Client(f"opc.tcp://127.0.0.1:{port}/", timeout=60) as client:
        await client.load_data_type_definitions()
        own, types = [await client.get_namespace_index(name) for name in (NAMESPACE, SPECIFICATION)]
        state = client.get_node(ua.NodeId(f"{SYSTEM}.{MACHINE}.{AUTOMATIC}.CurrentState", own))
        async with asyncio.timeout(60):
            while (await state.read_data_value(raise_on_bad_status=False)).Value.Value != ua.LocalizedText(
                "ContinuousExecution"
            ):
                await asyncio.sleep(0.1)
        events = Events(session)
        subscription = await client.create_subscription(PUBLISHING_MS, events)
        result_ready = client.get_node(ua.NodeId(EVENTS["ResultReady"], types))
        await subscription.subscribe_events(client.get_node(ua.NodeId(SYSTEM, own)), [result_ready])
        ends = time.monotonic() + SECONDS + 10
        with verdicts():
            while time.monotonic() < ends and len(events.milliseconds) < parts:
                await asyncio.sleep(0.05)
        return events.milliseconds


def take_results(port: int, session: str, parts: int, plc_seconds: float) -> dict[str, float]:
    """Acknowledge results over Modbus TCP, and return the milliseconds from capture to the PLC of each part."""
    plc = ModbusTcpClient("127.0.0.1", port=port)
    assert plc.connect()
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
    plc.close()
    return seen


def main() -> None:
    """Print one row for each broker, output and case; the quantiles are those of the parts that the PLC received."""
    chosen = sys.argv[1:] or list(OUTPUTS)
    if unknown := set(chosen) - set(OUTPUTS):
        sys.exit(f"there is no output {', '.join(unknown)} to measure: give {' or '.join(OUTPUTS)}")
    sys.stdout.write(
        "broker   output  parts/s  PLC ms   parts   p50 ms   p99 ms  p99.9 ms   after the deadline   received/s\n"
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        endpoint, server = servers.start_rabbitmq(folder / "rabbitmq")
        rabbitmq = BrokerAddress(f"amqp://127.0.0.1:{endpoint.port}/%2F", endpoint.user, endpoint.password)
        try:
            embedded = BrokerAddress(f"sqlite:///{folder}/broker")
            for (broker, address), output in product((("embedded", embedded), ("rabbitmq", rabbitmq)), chosen):
                own = folder / f"{output}-{broker}"
                own.mkdir()
                cases = [(rate, 0.0) for rate in RATES] + [(RATES[-1], SLOW_PLC)] * (output == "modbus")
                with line_with_gateway(address, own, output) as (line, port):
                    measure(output, line, port, *cases[0])  # everything is loaded
                    for rate, plc_seconds in cases:
                        times = measure(output, line, port, rate, plc_seconds)
                        received = times[np.isfinite(times)]
                        shares = [0.5, 0.99, 0.999]
                        p50, p99, p999 = np.quantile(received if len(received) else [np.nan], shares, method="higher")
                        late = np.mean(times > DEADLINE_MS)
                        sys.stdout.write(
                            f"{broker:8} {output:6} {rate:8} {1000 * plc_seconds:7.0f} {len(times):7} {p50:8.1f} "
                            f"{p99:8.1f} {p999:9.1f} {late:20.2%} {np.mean(times <= DEADLINE_MS) * rate:12.1f}\n"
                        )
                        sys.stdout.flush()
        finally:
            server.remove()


if __name__ == "__main__":
    main()

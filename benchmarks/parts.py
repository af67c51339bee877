"""Measure the time from capture to the signal at a PLC, by parts per second, on both brokers.

``python -m benchmarks.parts``, or ``python -m benchmarks.parts modbus_client encoder`` for some of the outputs: a
gateway in a process of its own gets one verdict per part, whose frame was captured a moment before. The network's time
is not in it: a verdict is sent at once. Each row takes ``--seconds`` (15), and 10 s more at most. The outputs:

- ``modbus``: a PLC in another process acknowledges each result over Modbus TCP. The last row is of a PLC that can't
  take each part: what it takes has to be on time nevertheless.
- ``modbus_client``: the same where the PLC is the server; the gateway reads what it has written every 2 ms.
- ``encoder``: ``modbus`` with a delay of 300 counts of an encoder in registers of another PLC, which the gateway reads
  every 10 ms, and which runs at 1,000 counts per second. The milliseconds are those after the part has moved so far,
  and the deadline is 500 counts after that.
- ``opcua``: an OPC UA client that has subscribed to ResultReady gets the event of each result, without encryption, by a
  publishing interval of 10 ms.

RabbitMQ is that of the tests (``SEAMLINE_TEST_SERVERS=packages``).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import product
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any, Final

import numpy as np
from asyncua import Client, ua
from pymodbus.client import ModbusTcpClient
from pymodbus.constants import ExcCodes
from ulid import ULID

from services.gateway.outputs.modbus_registers import CAPTURED, NAME, NUMBER, STATUS, TAKEN, Status
from services.gateway.outputs.opcua.address_space import AUTOMATIC, EVENTS, MACHINE, NAMESPACE, SPECIFICATION, SYSTEM
from services.gateway.outputs.settings import BLOCK
from shared.messages import frame_id
from shared.modbus_server import text_of, words
from shared.storage.filesystem import FilesystemStore
from tests import servers
from tests.broker_address import BrokerAddress
from tests.integration.gateway.test_modbus import Reports
from tests.parts import RECIPE, verdict
from tests.plc_server import BASE, UNIT, PlcServer
from tests.processes import free_port, listens, wait_until
from tests.workers import Line

RATES: Final = (10, 50, 200)
"""Parts per second."""
SLOW_PLC: Final = 0.010
"""Seconds that a slow PLC needs for a result beside the time of its requests."""
PUBLISHING_MS: Final = 10
"""The publishing interval that the OPC UA client asks for."""
DEADLINE_MS: Final = 500
READY_SECONDS: Final = 120.0
CONNECT_SECONDS: Final = 0.5
"""Seconds in which the PLC connects before the first part."""
SPEED: Final = 1_000
"""Counts of the encoder per second."""
DELAY_COUNTS: Final = 300
COUNT: Final = 20
"""The first of the two registers of the encoder's count."""


@dataclass(frozen=True)
class Kind:
    """A kind of output that is measured."""

    settings: dict[str, object]
    """Of the output, beside its port."""
    delay_ms: float = 0.0
    """From the capture to the moment at which the signal is due."""


IN_TIME: Final[dict[str, object]] = {"deadline_ms": DEADLINE_MS, "buffer": 64}
IN_COUNTS: Final[dict[str, object]] = {
    "delay_counts": DELAY_COUNTS,
    "deadline_counts": DELAY_COUNTS + DEADLINE_MS * SPEED // 1000,
}
PLC: Final[dict[str, object]] = {"host": "127.0.0.1", "unit": UNIT, "address": BASE, "poll_ms": 2}
OPCUA: Final[dict[str, object]] = {"anonymous": True, "automatic": True, "recipes": ["seam"], "buffer": 1_000}
OUTPUTS: Final = {
    "modbus": Kind({"type": "modbus", **IN_TIME}),
    "modbus_client": Kind({"type": "modbus_client", **IN_TIME, **PLC}),
    "encoder": Kind({"type": "modbus", "buffer": 64, **IN_COUNTS}, 1000 * DELAY_COUNTS / SPEED),
    "opcua": Kind({"type": "opcua", "deadline_ms": DEADLINE_MS, **OPCUA}),
}


class Belt(PlcServer):
    """A PLC with the count of an encoder that runs evenly."""

    async def _access(self, *request: Any) -> ExcCodes | None:
        self.registers[COUNT : COUNT + 2] = words(int(time.time() * SPEED) % (1 << 32), 2)
        return await super()._access(*request)


@dataclass(frozen=True)
class Plant:
    """A line with a gateway, and the PLC or client that gets its results."""

    line: Line
    port: int
    plc: PlcServer | None
    """A PLC that is the server; None: it is a client at the port."""


@contextmanager
def plant_with(address: BrokerAddress, folder: Path, output: str) -> Iterator[Plant]:
    """A line whose cameras and workers report, and whose gateway has an output of this kind."""
    line, port = Line(address, folder), free_port()
    parts = f"parts: {{of: frame, deadline_ms: {DEADLINE_MS}}}"
    FilesystemStore(line.objects).put("models/seam/v1/recipe.yaml", f"{RECIPE}\n{parts}".encode())
    settings: dict[str, object] = {"outputs": {"plc": {"port": port, **OUTPUTS[output].settings}}}
    with ExitStack() as opened:
        opened.callback(line.broker.close)
        plc = PlcServer(port) if output == "modbus_client" else None
        servers_of_plant = [plc] if plc else []
        if output == "encoder":
            servers_of_plant.append(Belt(encoder := free_port()))
            where = {"host": "127.0.0.1", "port": encoder, "unit": UNIT, "address": COUNT}
            settings["encoder"] = {"type": "modbus", **where}
        for each in servers_of_plant:
            each.server.start()
            opened.callback(each.server.close)
        (folder / "lines.yaml").write_text(json.dumps({"lines": {"line-1": settings}}))
        opened.callback(Reports(line).end)
        gateway = line.running("gateway", FOLDER=str(folder / "gateway"), LINES=str(folder / "lines.yaml"))
        opened.enter_context(gateway)
        wait_until(lambda: bool(plc.registers[BASE + STATUS]) if plc else listens(port), 120, "the gateway")
        yield Plant(line, port, plc)


def publish(address: BrokerAddress, session: str, rate: int, seconds: float, ready: Event) -> None:
    """Publish a verdict per part at an even pace, in a process of its own, which sets ``ready`` before."""
    broker = address.open()
    publisher = broker.publisher()
    ready.set()
    began = time.monotonic() + CONNECT_SECONDS
    for sequence in range(int(rate * seconds)):
        time.sleep(max(0.0, began + sequence / rate - time.monotonic()))
        publisher.publish(verdict(sequence, captured_at=datetime.now(UTC), frame_id=frame_id(session, sequence)))
    broker.close()


@contextmanager
def publishing(line: Line, session: str, rate: int, seconds: float) -> Iterator[None]:
    """Publish the verdicts of a session beside the block, which begins when the process that publishes is ready."""
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    camera = context.Process(target=publish, args=(line.address, session, rate, seconds, ready))
    camera.start()
    if not ready.wait(READY_SECONDS):
        raise TimeoutError(f"the process that publishes was not ready after {READY_SECONDS:g} s")
    yield
    camera.join()


def measure(output: str, plant: Plant, rate: int, plc_seconds: float, seconds: float) -> np.ndarray:
    """Return the milliseconds after each signal was due until the PLC had it; those that never came are infinite."""
    session, parts = str(ULID()), int(rate * seconds)
    if output == "opcua":
        verdicts = partial(publishing, plant.line, session, rate, seconds)
        seen = asyncio.run(take_events(plant.port, session, parts, verdicts, seconds))
    else:
        with publishing(plant.line, session, rate, seconds):
            if plant.plc:
                seen = take_written_results(plant.plc, session, parts, seconds)
            else:
                seen = take_results(plant.port, session, parts, plc_seconds, seconds)
    return np.array([*seen.values(), *[np.inf] * (parts - len(seen))]) - OUTPUTS[output].delay_ms


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
    port: int, session: str, parts: int, verdicts: Callable[[], AbstractContextManager[None]], seconds: float
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
        with ExitStack() as opened:
            await asyncio.to_thread(opened.enter_context, verdicts())
            ends = time.monotonic() + seconds + 10
            while time.monotonic() < ends and len(events.milliseconds) < parts:
                await asyncio.sleep(0.05)
        return events.milliseconds


def take_results(port: int, session: str, parts: int, plc_seconds: float, seconds: float) -> dict[str, float]:
    """Acknowledge results over Modbus TCP, and return the milliseconds from capture to the PLC of each part."""
    plc = ModbusTcpClient("127.0.0.1", port=port)
    assert plc.connect()
    seen: dict[str, float] = {}
    taken, ends = 0, time.monotonic() + seconds + 10
    while time.monotonic() < ends and len(seen) < parts:
        answer = plc.readwrite_registers(read_address=0, read_count=124, write_address=TAKEN, values=[taken])
        registers = answer.registers
        if registers[STATUS] & Status.RESULTS_VALID:
            taken = registers[NUMBER]
            note_result(registers, session, seen)
            time.sleep(plc_seconds)
        else:
            time.sleep(0.002)
    plc.write_register(TAKEN, taken)
    plc.close()
    return seen


def take_written_results(plc: PlcServer, session: str, parts: int, seconds: float) -> dict[str, float]:
    """Acknowledge results that the gateway writes, and return the milliseconds as `take_results` does."""
    seen: dict[str, float] = {}
    ends = time.monotonic() + seconds + 10
    while time.monotonic() < ends and len(seen) < parts:
        registers = plc.registers[BASE : BASE + BLOCK]
        if registers[STATUS] & Status.RESULTS_VALID and registers[NUMBER] != registers[TAKEN]:
            note_result(registers, session, seen)
            plc.registers[BASE + TAKEN] = registers[NUMBER]
        time.sleep(0.001)
    return seen


def note_result(registers: Sequence[int], session: str, seen: dict[str, float]) -> None:
    """Note the milliseconds from the capture of the result in the registers, if it is of the session."""
    captured = int.from_bytes(b"".join(word.to_bytes(2, "big") for word in registers[CAPTURED : CAPTURED + 4]))
    name = text_of(list(registers[NAME:]))
    if name.startswith(session):
        seen.setdefault(name, time.time() * 1000 - captured)


def main() -> None:
    """Print one row for each broker, output and case; the quantiles are those of the parts that the PLC received."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.parts")
    parser.add_argument("outputs", nargs="*", metavar="output", help=f"some of {', '.join(OUTPUTS)}; by default all")
    parser.add_argument("--seconds", type=float, default=15.0, help="time of each row")
    given = parser.parse_args()
    chosen, seconds = given.outputs or list(OUTPUTS), given.seconds
    if unknown := set(chosen) - set(OUTPUTS):
        sys.exit(f"there is no output {', '.join(unknown)} to measure: give {' or '.join(OUTPUTS)}")
    sys.stdout.write(
        "broker   output         parts/s  PLC ms  parts   p50 ms   p99 ms  p99.9 ms   after the deadline   received/s\n"
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
                with plant_with(address, own, output) as plant:
                    measure(output, plant, *cases[0], seconds)  # everything is loaded
                    for rate, plc_seconds in cases:
                        times = measure(output, plant, rate, plc_seconds, seconds)
                        received = times[np.isfinite(times)]
                        shares = [0.5, 0.99, 0.999]
                        p50, p99, p999 = np.quantile(received if len(received) else [np.nan], shares, method="higher")
                        late = np.mean(times > DEADLINE_MS)
                        sys.stdout.write(
                            f"{broker:8} {output:13} {rate:8} {1000 * plc_seconds:7.0f} {len(times):6} {p50:8.1f} "
                            f"{p99:8.1f} {p999:9.1f} {late:20.2%} {np.mean(times <= DEADLINE_MS) * rate:12.1f}\n"
                        )
                        sys.stdout.flush()
        finally:
            server.remove()


if __name__ == "__main__":
    main()

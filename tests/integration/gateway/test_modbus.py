"""A PLC in a process of its own runs the handshake: as a client of the gateway, and as a server."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from services.gateway.outputs.modbus import ModbusServer
from services.gateway.outputs.modbus_client import ModbusClientOutput
from services.gateway.outputs.modbus_registers import CONTROL, NUMBER, STATUS, TAKEN, Control, Status
from services.gateway.outputs.port import LineStatus, OutputUnavailable, Signal, Trouble
from services.gateway.outputs.settings import ModbusClientSettings, ModbusSettings
from shared.storage.filesystem import FilesystemStore
from tests.broker_address import BrokerAddress
from tests.integration.gateway.conftest import NAME, Product, Sending, a_test
from tests.parts import RECIPE, verdict
from tests.plc_server import BASE, REGISTERS, UNIT, PlcServer
from tests.processes import ChildServer, free_port, listens, wait_until
from tests.unit.gateway.test_line_watch import camera, worker
from tests.workers import ROOT, Line


class Plc:
    """The process of `tests.plc` (a client), or of `tests.plc_server`."""

    def __init__(self, folder: Path, port: int, program: str = "tests.plc") -> None:
        self.hold = folder / "hold"
        self._file = folder / "plc.jsonl"
        command = [sys.executable, "-m", program, str(port), str(self._file), str(self.hold)]
        self.process = ChildServer(command, folder / "plc.log", self._file.exists, {"PYTHONPATH": str(ROOT)})

    def _entries(self) -> list[dict[str, Any]]:
        """Return the lines that are written to their ends."""
        whole, _, _ = self._file.read_text().rpartition("\n")
        return [json.loads(line) for line in whole.splitlines()]

    @property
    def results(self) -> list[dict[str, Any]]:
        return [each for each in self._entries() if "number" in each]

    @property
    def status(self) -> dict[str, Any]:
        unknown = {"online": False, "overrun": False, "error": -1}
        return [unknown, *(each for each in self._entries() if "online" in each)][-1]


@contextmanager
def plc_at(folder: Path, port: int, program: str = "tests.plc") -> Iterator[Plc]:
    plc = Plc(folder, port, program)
    plc.process.start()
    try:
        yield plc
    finally:
        plc.process.remove()


SERVER = {"type": "modbus"}
CLIENT = {"type": "modbus_client", "host": "127.0.0.1", "unit": UNIT, "address": BASE, "timeout_seconds": 60}


@pytest.mark.parametrize(("kind", "program"), [(SERVER, "tests.plc"), (CLIENT, "tests.plc_server")])
def test_the_plc_gets_each_part_once_and_what_it_does_not_acknowledge_is_missed(
    sending: Callable[..., Sending], product: Product, tmp_path: Path, kind: dict[str, Any], program: str
) -> None:
    port = free_port()
    out = sending(**kind, port=port, bits=["break"], ack_seconds=2, deadline_ms=600_000)
    if program == "tests.plc":
        out.output.check()
    with plc_at(tmp_path, port, program) as plc:
        parts = [product.part("break" if number % 5 == 0 else None) for number in range(20)]
        out.decide(*parts)
        out.until(lambda: out.waiting == 0)
        plc.hold.touch()
        out.decide(product.part())
        out.until(lambda: out.dispatcher.state.failing)
        out.clock.ahead = 700
        out.until(lambda: out.waiting == 0)
        wait_until(lambda: plc.status["overrun"], 120, "the overrun")
        plc.hold.unlink()
        out.decide(after := product.part(age=-700))
        out.until(lambda: out.waiting == 0)
        wait_until(lambda: len(plc.results) == 21, 120, "the last result")
        assert [each["part"] for each in plc.results] == [part.part for part in [*parts, after]]
        assert [each["labels"] for each in plc.results[:6]] == [1, 0, 0, 0, 0, 1]
        out.clock.ahead = 0
        out.outbox.add_test(a_test(), "out")
        out.until(lambda: not out.outbox.waiting(NAME, 1))
        wait_until(lambda: len(plc.results) == 22, 120, "the result of the test")
        assert [(each["part"], each["test"]) for each in plc.results[-2:]] == [(after.part, False), ("test-1", True)]
    counts = out.outbox.counts(NAME)
    assert (counts.sent, counts.missed) == (21, 1)
    assert "did not acknowledge" in out.outbox.reasons(NAME)[0][1]


def test_a_port_that_is_taken_is_reported() -> None:
    port = free_port()
    first, second = (ModbusServer(ModbusSettings(type="modbus", port=port)) for _ in range(2))
    first.check()
    with pytest.raises(OutputUnavailable, match=f"can't listen on 127.0.0.1:{port}"):
        second.check()
    first.close()
    second.check()
    second.close()


def test_a_plc_that_is_started_again_gets_what_it_missed_and_sees_the_line(
    sending: Callable[..., Sending], product: Product, tmp_path: Path
) -> None:
    port = free_port()
    out = sending(**CLIENT, port=port, ack_seconds=1, deadline_ms=600_000)
    out.output.show(LineStatus(Trouble.NONE, ok=70_000))
    out.decide(first := product.part("break"))
    out.until(lambda: out.dispatcher.state.failing)
    assert f"the PLC 127.0.0.1:{port} can't be reached: Connection refused" in out.dispatcher.state.last_error
    with plc_at(tmp_path, port, "tests.plc_server") as plc:
        out.until(lambda: out.waiting == 0)
        assert not out.dispatcher.state.failing
        plc.process.kill()
        out.decide(second := product.part())
        out.until(lambda: out.dispatcher.state.failing)
        plc.process.start()
        out.until(lambda: out.waiting == 0)
        wait_until(lambda: len(plc.results) == 2, 120, "the second result")
        assert [each["part"] for each in plc.results] == [first.part, second.part]
        assert [each["number"] for each in plc.results] == [1, 2]
        wait_until(lambda: sees_the_line(out, plc), 120, "the line to be online")
        out.output.close()
        wait_until(lambda: not plc.status["online"], 120, "online to fall when the gateway ends")


def sees_the_line(out: Sending, plc: Plc) -> bool:
    """Show the status of the line again, as a gateway does, and return whether the PLC sees that it is online."""
    out.output.show(LineStatus(Trouble.NONE))
    return bool(plc.status["online"])


def test_results_are_numbered_after_those_of_the_gateway_before(
    sending: Callable[..., Sending], product: Product
) -> None:
    plc = PlcServer(port := free_port())
    plc.registers[BASE + NUMBER] = plc.registers[BASE + TAKEN] = 5
    plc.server.start()
    out = sending(**CLIENT, port=port, ack_seconds=600, deadline_ms=600_000)
    signal, sent = Signal.of(product.part(), "out", out.settings), list[int]()
    thread = threading.Thread(target=lambda: sent.append(out.output.send([signal])))
    thread.start()
    wait_until(lambda: bool(plc.registers[BASE + STATUS] & Status.RESULTS_VALID), 120, "the result")
    assert plc.registers[BASE + NUMBER] == 6
    plc.registers[BASE + TAKEN] = 6
    thread.join(120)
    assert sent == [1]
    out.output.close()
    plc.server.close()


def test_a_plc_that_is_started_again_in_the_middle_of_a_handshake_sees_the_result_again(
    sending: Callable[..., Sending], product: Product
) -> None:
    plc = PlcServer(port := free_port())
    plc.server.start()
    out = sending(**CLIENT, port=port, ack_seconds=600, deadline_ms=600_000)
    signal, sent = Signal.of(product.part(), "out", out.settings), list[int]()
    thread = threading.Thread(target=lambda: sent.append(out.output.send([signal])))
    thread.start()

    def shows_the_result() -> bool:
        return bool(plc.registers[BASE + STATUS] & Status.RESULTS_VALID) and plc.registers[BASE + NUMBER] == 1

    wait_until(shows_the_result, 120, "the result")
    plc.server.close()
    plc.registers[:] = [0] * REGISTERS
    plc.server.start()
    wait_until(shows_the_result, 120, "the same result")
    assert not sent
    plc.registers[BASE + CONTROL] = Control.RESULTS_ACK
    thread.join(120)
    assert sent == [1]
    plc.server.close()


def test_a_register_that_the_plc_does_not_have_is_reported() -> None:
    plc = PlcServer(port := free_port())
    plc.server.start()
    settings = {**CLIENT, "port": port}
    for wrong, reason in (
        ({"unit": UNIT, "address": REGISTERS - 20}, "refuses to read registers 380 to 499 of unit 7: it has no such"),
        ({"unit": UNIT + 1}, "unit 8"),
    ):
        output = ModbusClientOutput(ModbusClientSettings.model_validate({**settings, **wrong}))
        with pytest.raises(OutputUnavailable, match=reason):
            output.check()
    assert not any(plc.registers), "a check writes nothing"
    plc.server.close()


def test_a_coil_is_set_for_its_pulse_and_cleared_after_a_gateway_that_was_killed(
    sending: Callable[..., Sending], product: Product
) -> None:
    plc = PlcServer(port := free_port())
    plc.coils[5] = True
    plc.server.start()
    out = sending(type="modbus_coil", host="127.0.0.1", port=port, unit=UNIT, coil=5, pulse_ms=300, timeout_seconds=60)
    out.output.check()
    assert plc.coils[5], "a check writes nothing"
    out.output.show(LineStatus(Trouble.NONE))
    wait_until(lambda: not plc.coils[5], 60, "the coil to be cleared")
    plc.written.clear()
    out.decide(product.part(), product.part("break"))
    out.until(lambda: out.waiting == 0)
    wait_until(lambda: len(plc.written) == 2, 60, "the end of the pulse")
    (set_at, _, on), (cleared_at, _, off) = plc.written
    assert (on, off) == ([True], [False])
    assert cleared_at - set_at >= 0.29, "shorter than the pulse"
    assert (out.outbox.counts(NAME).sent, out.outbox.counts(NAME).filtered) == (1, 1)
    plc.server.close()


class Reports:
    """Reports of a camera and a worker, twice a second, until one of them stops."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._end = threading.Event()
        self.senders = {"camera", "worker"}
        self._thread = threading.Thread(target=self._send)
        self._thread.start()

    def _send(self) -> None:
        publisher = self._line.broker.publisher()
        while not self._end.wait(0.4):
            at = datetime.now(UTC)
            for name, report in (("camera", camera(at=at, captured=0)), ("worker", worker())):
                if name in self.senders:
                    publisher.publish(report).result(60)
        publisher.close()

    def end(self) -> None:
        self._end.set()
        self._thread.join(60)


@pytest.mark.parametrize("gone", ["camera", "worker", "gateway"])
def test_online_falls_when_something_is_not_well(sqlite: BrokerAddress, tmp_path: Path, gone: str) -> None:
    line, port = Line(sqlite, tmp_path), free_port()
    FilesystemStore(line.objects).put("models/seam/v1/recipe.yaml", f"{RECIPE}\nparts: {{of: frame}}".encode())
    (tmp_path / "lines.yaml").write_text(f"lines: {{line-1: {{outputs: {{plc: {{type: modbus, port: {port}}}}}}}}}")
    reports = Reports(line)
    try:
        with line.running("gateway", FOLDER=str(tmp_path / "gateway"), LINES=str(tmp_path / "lines.yaml")) as gateway:
            wait_until(lambda: listens(port), 120, "the Modbus server")
            with plc_at(tmp_path, port) as plc:
                wait_until(lambda: plc.status["online"], 120, "the line to be online")
                line.send(verdict(0, "ng", captured_at=datetime.now(UTC)))
                wait_until(lambda: len(plc.results) == 1, 120, "the result")
                assert (plc.results[0]["verdict"], plc.results[0]["action"]) == (2, 2)
                if gone == "gateway":
                    gateway.kill()
                else:
                    reports.senders.discard(gone)
                wait_until(lambda: not plc.status["online"], 120, "online to fall")
    finally:
        reports.end()
        line.broker.close()

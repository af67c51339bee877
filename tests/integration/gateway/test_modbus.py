"""A PLC in a process of its own runs the handshake with a gateway in another one."""

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
from services.gateway.outputs.port import OutputUnavailable
from services.gateway.outputs.settings import ModbusSettings
from shared.storage.filesystem import FilesystemStore
from tests.broker_address import BrokerAddress
from tests.integration.gateway.conftest import NAME, Product, Sending, a_test
from tests.parts import RECIPE, verdict
from tests.processes import ChildServer, free_port, listens, wait_until
from tests.unit.gateway.test_line_watch import camera, worker
from tests.workers import ROOT, Line


class Plc:
    """The process of `tests.plc`."""

    def __init__(self, folder: Path, port: int) -> None:
        self.hold = folder / "hold"
        self._file = folder / "plc.jsonl"
        command = [sys.executable, "-m", "tests.plc", str(port), str(self._file), str(self.hold)]
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
def plc_at(folder: Path, port: int) -> Iterator[Plc]:
    plc = Plc(folder, port)
    plc.process.start()
    try:
        yield plc
    finally:
        plc.process.remove()


def test_the_plc_gets_each_part_once_and_what_it_does_not_acknowledge_is_missed(
    sending: Callable[..., Sending], product: Product, tmp_path: Path
) -> None:
    port = free_port()
    out = sending(type="modbus", port=port, bits=["break"], ack_seconds=2, deadline_ms=600_000)
    out.output.check()
    with plc_at(tmp_path, port) as plc:
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

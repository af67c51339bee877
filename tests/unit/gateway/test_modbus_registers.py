"""The handshake of results, and what a PLC sees of a gateway that hangs."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import Any

import pytest

from services.gateway.outputs.modbus_registers import (
    CONTROL,
    ERROR,
    HEARTBEAT,
    LABELS,
    NAME,
    NUMBER,
    OVERRUNS,
    PARTS,
    SCORES,
    SIZE,
    STATUS,
    TAKEN,
    VERDICT,
    WAITING,
    Control,
    Registers,
    Status,
)
from services.gateway.outputs.port import LineStatus, Signal, Trouble
from services.gateway.outputs.settings import ModbusSettings
from tests.processes import wait_until
from tests.verdicts import Line, decision_of

LINE = Line(start=datetime.now(UTC))


def settings(**some: Any) -> ModbusSettings:
    return ModbusSettings(type="modbus", bits=("break", "error"), **some)


def signal(fault: str | None = None) -> Signal:
    decision = decision_of(LINE.verdict(fault), faults=(fault,) if fault else (), scores={"break": 0.25, "error": 0.5})
    return Signal.of(decision, "plc", settings())


def delivery(registers: Registers, *signals: Signal, seconds: float = 60) -> tuple[threading.Thread, list[int]]:
    done: list[int] = []
    thread = threading.Thread(target=lambda: done.append(registers.deliver(signals, [seconds] * len(signals))))
    thread.start()
    return thread, done


def has(registers: Registers, bit: Status) -> bool:
    return bit in Status(registers.read()[STATUS])


def test_a_result_stays_until_it_is_acknowledged_and_the_next_one_follows() -> None:
    registers = Registers(settings(ack_seconds=60))
    thread, done = delivery(registers, signal("break"), signal())
    wait_until(lambda: has(registers, Status.RESULTS_VALID), 60, "a result")
    shown = registers.read()
    assert len(shown) == SIZE
    assert (shown[NUMBER], shown[VERDICT], shown[LABELS]) == (1, 2, 0b01)
    assert shown[SCORES : SCORES + 2] == [2500, 5000]
    assert shown[NAME].to_bytes(2, "big").decode() == LINE.session[:2]
    assert registers.write(CONTROL, [Control.RESULTS_ACK])
    assert not has(registers, Status.RESULTS_VALID), "the PLC has to clear its acknowledgement first"
    assert registers.write(CONTROL, [0])
    assert (registers.read()[NUMBER], registers.read()[VERDICT]) == (2, 1)
    registers.write(CONTROL, [Control.RESULTS_ACK])
    thread.join(60)
    assert done == [2]


def test_ready_falls_while_a_check_is_due_and_the_parts_of_this_time_are_marked() -> None:
    registers = Registers(settings(hold_ms=1))
    registers.show(LineStatus(Trouble.NONE))
    assert has(registers, Status.ONLINE | Status.READY)
    assert registers.deliver([signal().model_copy(update={"unchecked": True})], [60]) == 1
    assert has(registers, Status.UNCHECKED)
    assert registers.deliver([signal()], [60]) == 1
    assert not has(registers, Status.UNCHECKED)
    registers.show(LineStatus(Trouble.NONE, check_due="a check is due"))
    assert has(registers, Status.ONLINE)
    assert not has(registers, Status.READY)


def test_a_plc_may_acknowledge_by_the_number_of_the_result() -> None:
    registers = Registers(settings(ack_seconds=60))
    thread, done = delivery(registers, signal(), signal("break"))
    wait_until(lambda: has(registers, Status.RESULTS_VALID), 60, "a result")
    assert registers.write(TAKEN, [2])
    assert registers.read()[NUMBER] == 1, "another result is not acknowledged"
    assert registers.write(TAKEN, [1])
    assert (registers.read()[NUMBER], has(registers, Status.RESULTS_VALID)) == (2, True)
    registers.write(TAKEN, [2])
    thread.join(60)
    assert done == [2]


def test_an_acknowledgement_that_comes_too_late_is_not_taken_for_that_of_the_next_result() -> None:
    now = [100.0]
    registers = Registers(settings(ack_seconds=0.1), clock=lambda: now[0])
    thread, done = delivery(registers, signal("break"))
    wait_until(lambda: has(registers, Status.RESULTS_VALID), 60, "a result")
    now[0] += 0.2
    thread.join(60)
    assert done == [0]
    thread, done = delivery(registers, signal())
    wait_until(lambda: registers.read(seen=False)[WAITING] == 1, 60, "the next result to wait")
    registers.write(CONTROL, [Control.RESULTS_ACK])
    registers.write(CONTROL, [0])
    assert registers.read(seen=False)[WAITING] == 1
    assert not has(registers, Status.RESULTS_VALID), "the PLC sees that the result before was withdrawn"
    assert has(registers, Status.RESULTS_VALID)
    registers.write(CONTROL, [Control.RESULTS_ACK])
    thread.join(60)
    assert done == [1]


def test_a_result_that_is_not_acknowledged_is_withdrawn_and_keeps_its_number() -> None:
    now = [100.0]
    registers, late = Registers(settings(ack_seconds=0.1), clock=lambda: now[0]), signal("break")
    thread, done = delivery(registers, late, signal())
    wait_until(lambda: has(registers, Status.RESULTS_VALID), 60, "a result")
    now[0] += 0.2
    thread.join(60)
    assert done == [0]
    assert not has(registers, Status.RESULTS_VALID)
    assert has(registers, Status.OVERRUN)
    assert registers.read()[OVERRUNS : OVERRUNS + 2] == [0, 1]
    thread, _ = delivery(registers, late)
    wait_until(lambda: has(registers, Status.RESULTS_VALID), 60, "the result again")
    assert registers.read()[NUMBER] == 1
    registers.write(CONTROL, [Control.CLEAR])
    assert not has(registers, Status.OVERRUN)
    now[0] += 0.2
    thread.join(60)


def test_a_result_that_a_plc_could_not_take_before_its_deadline_is_not_shown() -> None:
    now = [100.0]
    registers = Registers(settings(ack_seconds=60), clock=lambda: now[0])
    done: list[int] = []
    signals = [signal(), signal("break"), signal()]
    thread = threading.Thread(target=lambda: done.append(registers.deliver(signals, [60, 0.1, 60])))
    thread.start()
    wait_until(lambda: has(registers, Status.RESULTS_VALID), 60, "a result")
    now[0] += 0.04
    assert registers.write(TAKEN, [1])
    assert not has(registers, Status.RESULTS_VALID), "the next one has 60 ms, and the PLC needed 40"
    thread.join(60)
    assert done == [1]
    assert has(registers, Status.OVERRUN)
    assert registers.seconds_needed == pytest.approx(0.08)


def test_without_a_handshake_each_result_is_shown_for_a_while() -> None:
    registers = Registers(settings(hold_ms=100))
    thread, done = delivery(registers, signal(), signal("break"))
    wait_until(lambda: registers.read()[NUMBER] == 2, 60, "the second result")
    assert has(registers, Status.RESULTS_VALID)
    thread.join(60)
    assert done == [2]


def test_a_plc_that_is_offline_gets_no_results_and_no_overrun() -> None:
    registers = Registers(settings(ack_seconds=0.05))
    registers.write(CONTROL, [Control.OFFLINE])
    assert registers.deliver([signal()], [60]) == 0
    assert Status(registers.read()[STATUS]) == Status.OFFLINE


def test_the_plc_writes_its_two_registers_and_nothing_else() -> None:
    registers = Registers(settings())
    assert not registers.write(STATUS, [1])
    assert registers.write(TAKEN, [7])
    assert not registers.write(CONTROL, [1, 1])
    assert registers.write(CONTROL, [0xFFF8])
    assert registers.read()[CONTROL] == 0


def test_a_gateway_that_hangs_is_not_online_and_its_heartbeat_stops() -> None:
    now = [100.0]
    registers = Registers(settings(), clock=lambda: now[0])
    registers.show(LineStatus(Trouble.NONE, ok=70_000, ng=2))
    beats = []
    for _ in range(4):
        beats.append(registers.read()[HEARTBEAT])
        assert has(registers, Status.ONLINE)
        now[0] += 0.9
        registers.show(LineStatus(Trouble.NONE, ok=70_000, ng=2))
        now[0] += 0.1
    assert beats == [0, 1, 0, 1]
    assert registers.read()[PARTS : PARTS + 4] == [1, 70_000 - 65_536, 0, 2]
    now[0] += 1.0
    assert not has(registers, Status.ONLINE)
    assert registers.read()[ERROR] == Trouble.GATEWAY
    stopped = registers.read()[HEARTBEAT]
    now[0] += 1.0
    assert registers.read()[HEARTBEAT] == stopped

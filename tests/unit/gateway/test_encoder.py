"""Delays by the count of an encoder: when a signal is due, when it is too late, and what a counter may do."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from services.gateway.dispatcher import COUNT_SECONDS, Dispatcher
from services.gateway.encoders.reading import open_encoder, way_of
from services.gateway.encoders.settings import MqttEncoderSettings
from services.gateway.journal import Journal
from services.gateway.lines import LinesFile
from services.gateway.outputs.port import signal_of_test
from services.gateway.outputs.settings import ModbusCoilSettings
from services.gateway.part_assembly import Now
from services.gateway.signal_outbox import SignalOutbox
from shared.messages import OutputTestRequested
from tests.parts import at
from tests.unit.gateway.test_dispatcher import NAME, Receiver
from tests.verdicts import Line, decision_of

LINE = Line()
DELAY, DEADLINE = 400, 450
COIL = {"type": "modbus_coil", "host": "127.0.0.1", "coil": 1, "delay_counts": DELAY, "deadline_counts": DEADLINE}


class Belt:
    """A belt whose encoder and clock the test moves, and a gate that is `DELAY` counts behind the camera."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.seconds = 0.0
        self.journal = Journal(folder, timedelta(days=7))
        encoder = MqttEncoderSettings(type="mqtt", host="127.0.0.1", topic="belt", **settings)
        self.encoder = open_encoder(encoder, self._now)
        output = ModbusCoilSettings(**{**COIL, "verdicts": ["ok"]})
        self.outbox = SignalOutbox(self.journal, {"line-1": {"plc": output}}, self._now, {"line-1": self.encoder})
        self.receiver = Receiver()
        self.receiver.takes = 10
        way = way_of(output, self.encoder)
        self.dispatcher = Dispatcher(NAME, self.receiver, self.outbox, self.journal, self._now, way=way)

    def _now(self) -> Now:
        return at(1_000 + self.seconds, LINE.start + timedelta(seconds=self.seconds))

    def move(self, count: int, seconds: float = 0.01) -> None:
        """Let the encoder have a count after some seconds, and let the dispatcher act on it."""
        self.seconds += seconds
        self.encoder.note(count)
        while self.dispatcher.turn() == 0:
            pass

    def capture(self, encoder_count: int | None = None) -> None:
        """Capture and decide about a part now."""
        decision = decision_of(LINE.verdict())
        moment = {"captured_at": self._now().wall, "encoder_count": encoder_count}
        with self.journal.write():
            frame = decision.frame.model_copy(update=moment)
            self.outbox.add(decision.model_copy(update={"frame": frame}), self._now())

    @property
    def sent(self) -> int:
        return self.outbox.counts(NAME).sent

    @property
    def reasons(self) -> list[str]:
        assert self.outbox.counts(NAME).balanced
        return [reason for _, reason in self.outbox.reasons(NAME)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "gateway"


@pytest.fixture
def belt(folder: Path, request: pytest.FixtureRequest) -> Iterator[Belt]:
    opened = Belt(folder, **getattr(request, "param", {}))
    with opened.journal:
        yield opened


@pytest.mark.parametrize(
    ("belt", "start"), [({"bits": 16}, 65_400), ({"bits": 32}, (1 << 32) - 100), ({}, 0)], indirect=["belt"]
)
def test_a_signal_is_sent_when_its_part_has_moved_so_far_also_over_the_end_of_the_counter(
    belt: Belt, start: int
) -> None:
    largest = 1 << (16 if start == 65_400 else 32)
    belt.move(start)
    belt.capture()
    belt.move((start + DELAY - 1) % largest)
    assert belt.sent == 0
    belt.move((start + DELAY) % largest)
    assert belt.sent == 1


def test_a_line_that_stands_still_makes_no_signal_late_and_a_part_that_has_passed_the_gate_does(belt: Belt) -> None:
    belt.move(1_000)
    belt.capture()
    belt.move(1_000, seconds=3_600)
    assert belt.dispatcher.turn() == COUNT_SECONDS, "the signal waits"
    belt.receiver.takes = None
    belt.move(1_000 + DELAY)
    assert belt.dispatcher.state.failing
    belt.receiver.takes = 10
    belt.move(1_000 + DELAY + 20, seconds=10)
    assert belt.sent == 1
    belt.capture()
    belt.move(1_000 + 2 * DELAY + 100)
    assert belt.reasons == [f"its part was {DELAY + 80} counts past its capture, and deadline_counts is {DEADLINE}"]


def test_the_count_at_the_capture_is_that_of_the_trigger_or_between_two_readings(belt: Belt) -> None:
    belt.move(1_000)
    belt.capture(encoder_count=990)
    belt.seconds += 0.1
    belt.capture()  # the newest reading is older
    belt.move(1_200, seconds=0.1)
    assert belt.encoder.count_at(belt._now().wall - timedelta(seconds=0.1), belt._now()) == 1_100
    belt.move(990 + DELAY)
    assert belt.sent == 1
    belt.move(1_000 + DELAY)
    assert belt.sent == 2


def test_a_test_signal_waits_for_no_count(belt: Belt) -> None:
    belt.move(1_000)
    belt.capture()
    request = OutputTestRequested(test_id="test-1", line="line-1", output="plc", by="eva", at=belt._now().wall)
    belt.outbox.add_test(signal_of_test(request), "plc")
    belt.receiver.group = 1
    belt.move(1_000)
    assert belt.receiver.given == [1]
    assert (belt.sent, belt.outbox.counts(NAME).waiting) == (0, 1)


@pytest.mark.parametrize(
    ("belt", "before", "after"),
    [({}, 5_000, 0), ({"bits": 16, "most_per_second": 10_000}, 60_000, 3)],
    indirect=["belt"],
)
def test_a_counter_that_jumps_makes_the_parts_before_missed_and_those_after_are_sent(
    belt: Belt, before: int, after: int
) -> None:
    belt.move(before)
    belt.capture()
    belt.move(after)
    assert belt.reasons == [f"its place is not known: the encoder jumped from {before} to {after}"]
    belt.seconds += 0.01
    belt.capture()
    for count in range(after, after + DELAY + 1, 50):
        belt.move(count)
    belt.move(after + DELAY)
    assert belt.sent == 1


def test_a_belt_that_runs_back_a_little_makes_no_signal_missed(belt: Belt) -> None:
    belt.move(5)
    belt.capture()
    belt.move((1 << 32) - 60)
    belt.move(5 + DELAY)
    assert (belt.sent, belt.reasons) == (1, [])


def test_a_count_that_is_not_read_is_the_outputs_failure_and_signals_wait(belt: Belt) -> None:
    belt.move(1_000)
    belt.capture()
    belt.encoder.fail("the PLC is away")
    belt.seconds += 1
    assert belt.dispatcher.turn() == COUNT_SECONDS
    assert (belt.dispatcher.state.failing, belt.dispatcher.state.last_error) == (True, "the PLC is away")
    belt.capture()
    belt.dispatcher.turn()
    assert belt.reasons == ["the encoder's count at its capture is not known: the PLC is away"]
    belt.move(1_000 + DELAY)
    assert (belt.sent, belt.dispatcher.state.failing) == (1, False)
    belt.capture()
    belt.encoder.fail("the PLC is away")
    belt.move(1_000 + DELAY, seconds=11)
    assert belt.reasons[1:] == ["its place is not known: the encoder was not read for 11 s"]


def test_a_gateway_that_is_started_again_sends_what_waits_unless_it_was_away_for_long(folder: Path) -> None:
    first = Belt(folder)
    with first.journal:
        first.move(1_000)
        first.capture()
    second = Belt(folder)
    with second.journal:
        second.seconds = 5
        assert second.dispatcher.turn() == COUNT_SECONDS, "the count is not read so far"
        second.move(1_000 + DELAY)
        assert second.sent == 1
        second.capture()
    third = Belt(folder)
    with third.journal:
        third.seconds = 60
        third.move(1_000 + DELAY)
        assert third.reasons == ["its place is not known: the gateway was started after its capture"]


def test_a_count_that_has_too_many_bits_is_reported(belt: Belt) -> None:
    belt.encoder.note(1 << 32)
    assert belt.encoder.failure == "the encoder has the count 4294967296, which has more than 32 bits"


ENCODER = {"type": "mqtt", "host": "127.0.0.1", "topic": "belt"}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ({"outputs": {"gate": COIL}}, "delay_counts needs the encoder of the line"),
        ({"encoder": ENCODER, "outputs": {"gate": {**COIL, "deadline_ms": 900}}}, "replace delay_ms and deadline_ms"),
        ({"encoder": ENCODER, "outputs": {"gate": {**COIL, "deadline_counts": None}}}, "belong together"),
        ({"encoder": ENCODER, "outputs": {"gate": {**COIL, "deadline_counts": DELAY}}}, "not after delay_counts"),
        (
            {"encoder": {**ENCODER, "bits": 16}, "outputs": {"gate": {**COIL, "deadline_counts": 40_000}}},
            "more than half of what 16 bits can count: 32767 at most",
        ),
        ({"encoder": {"type": "output", "output": "gate"}, "outputs": {"gate": COIL}}, "no output of this line"),
    ],
)
def test_settings_that_no_signal_could_follow_are_refused(line: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        LinesFile.model_validate({"lines": {"line-1": line}})

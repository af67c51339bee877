"""What becomes of signals whose receiver is slow, and how the journal notes it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from services.gateway.dispatcher import Dispatcher
from services.gateway.journal import Journal
from services.gateway.outputs.port import LineStatus, OutputUnavailable, Signal
from services.gateway.outputs.settings import ModbusSettings
from services.gateway.part_assembly import Now
from services.gateway.signal_outbox import SignalOutbox
from tests.parts import at
from tests.spans import traced
from tests.verdicts import Line, decision_of

NAME = "line-1/plc"
LINE = Line()


class Receiver:
    """An output whose receiver takes as many signals as the test lets it; None: it is away."""

    collect_seconds = 0.0
    longest_pause = 0.2
    seconds_needed = 0.0
    group = 10

    def __init__(self) -> None:
        self.takes: int | None = 0
        self.given: list[int] = []

    def send(self, signals: Sequence[Signal]) -> int:
        self.given.append(len(signals))
        if self.takes is None:
            raise OutputUnavailable("it is away")
        return min(self.takes, len(signals))

    def show(self, status: LineStatus) -> None: ...

    def check(self) -> None: ...

    def close(self) -> None: ...


class Sending:
    """A dispatcher whose clock the test sets, in seconds from the capture of every part."""

    def __init__(self, journal: Journal) -> None:
        self.seconds = 0.0
        self.receiver = Receiver()
        settings = ModbusSettings(type="modbus", deadline_ms=500)
        self.journal = journal
        self.outbox = SignalOutbox(journal, {"line-1": {"plc": settings}}, self._now)
        self.dispatcher = Dispatcher(NAME, self.receiver, self.outbox, journal, self._now)

    def _now(self) -> Now:
        return at(self.seconds, LINE.start + timedelta(seconds=self.seconds))

    def decide(self, parts: int) -> None:
        with self.journal.write():
            for _ in range(parts):
                decision = decision_of(LINE.verdict())
                frame = decision.frame.model_copy(update={"captured_at": LINE.start})
                self.outbox.add(decision.model_copy(update={"frame": frame}), self._now())


@pytest.fixture
def sending(tmp_path: Path) -> Iterator[Sending]:
    with Journal(tmp_path / "gateway", timedelta(days=7)) as journal:
        yield Sending(journal)


def test_a_receiver_that_is_slower_than_the_parts_gets_what_it_takes_and_the_rest_is_missed(sending: Sending) -> None:
    sending.decide(5)
    sending.receiver.takes = 2
    assert sending.dispatcher.turn() == 0, "the next try follows at once"
    assert sending.dispatcher.turn() == 0
    assert sending.receiver.given == [5, 3]
    assert not sending.dispatcher.state.failing
    sending.seconds = 0.6
    sending.decide(1)
    sending.dispatcher.turn()
    assert [reason for _, reason in sending.outbox.reasons(NAME)] == [
        "its deadline had passed: the receiver was too slow",
        "its deadline had passed: decided too late",
    ]
    counts = sending.outbox.counts(NAME)
    assert (counts.decisions, counts.sent, counts.missed, counts.waiting) == (6, 4, 2, 0)


def test_a_receiver_that_is_away_is_tried_again_after_a_pause_that_its_protocol_bounds(sending: Sending) -> None:
    sending.receiver.takes = None
    sending.decide(1)
    for _ in range(2):
        sending.dispatcher.turn()
        assert 0 < sending.dispatcher.turn() <= sending.receiver.longest_pause
        assert sending.dispatcher.state.failing
        sending.seconds += sending.receiver.longest_pause
    sending.receiver.takes = 1
    sending.dispatcher.turn()
    assert sending.outbox.counts(NAME).sent == 1
    assert not sending.dispatcher.state.failing


def test_what_waits_is_read_from_the_journal_once(sending: Sending) -> None:
    sending.decide(3)
    first = sending.outbox.waiting(NAME, 10)
    sending.decide(1)
    second = sending.outbox.waiting(NAME, 10)
    assert [one is other for one, other in zip(first, second, strict=False)] == [True] * 3
    sending.outbox.sent(NAME, first[:2])
    assert [each.number for each in sending.outbox.waiting(NAME, 10)] == [each.number for each in second[2:]]


def test_a_note_leaves_the_next_transaction_on_the_disk(sending: Sending) -> None:
    def synchronous() -> int:
        (found,) = sending.journal.database.execute("PRAGMA synchronous").fetchone()
        return int(found)

    before = synchronous()
    with sending.journal.mark():
        assert synchronous() < before
    assert synchronous() == before
    with pytest.raises(sqlite3.OperationalError), sending.journal.mark() as database:
        database.execute("SELECT * FROM nowhere")
    assert synchronous() == before


def test_each_try_to_send_a_signal_is_a_span_in_the_trace_of_its_frame(sending: Sending) -> None:
    with traced() as spans:
        sending.decide(1)
        sending.receiver.takes = None
        sending.dispatcher.turn()
        sending.receiver.takes, sending.seconds = 1, 0.4
        sending.dispatcher.turn()
    assert [(span.name, span.failure) for span in spans] == [("signal", "OutputUnavailable"), ("signal", "")]
    assert len({span.trace for span in spans}) == 1

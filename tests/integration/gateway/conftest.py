"""A journal, an outbox, and receivers that are real."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from services.gateway.dispatcher import Dispatcher
from services.gateway.handler import now
from services.gateway.journal import Journal
from services.gateway.outputs.opening import open_output
from services.gateway.outputs.port import Signal, signal_of_test
from services.gateway.outputs.settings import AnyOutput
from services.gateway.part_assembly import Now
from services.gateway.signal_outbox import SignalOutbox
from shared.messages import OutputTestRequested, PartDecided
from tests.receiver import Receiver, receiving
from tests.verdicts import Line, decision_of

ANY: TypeAdapter[AnyOutput] = TypeAdapter(AnyOutput)
NAME = "line-1/out"


class Clock:
    """The clock of an output, which a test moves forward: a deadline passes when the test says so."""

    def __init__(self) -> None:
        self.ahead = 0.0
        """Seconds."""
        self.jump = 0.0
        """Seconds by which the wall clock has jumped."""

    def __call__(self) -> Now:
        moment = now()
        return Now(moment.steady + self.ahead, moment.wall + timedelta(seconds=self.ahead + self.jump))


class Sending:
    """One output of a line, whose turns the test takes."""

    def __init__(self, journal: Journal, settings: dict[str, Any]) -> None:
        self.settings = ANY.validate_python(settings)
        self.journal = journal
        self.clock = Clock()
        self.outbox = SignalOutbox(journal, {"line-1": {"out": self.settings}}, self.clock)
        self.output = open_output(self.settings, "line-1")
        self.dispatcher = Dispatcher(NAME, self.output, self.outbox, journal, self.clock)

    def decide(self, *decisions: PartDecided) -> None:
        with self.journal.write():
            for decision in decisions:
                self.outbox.add(decision, self.clock())

    def until(self, enough: Callable[[], bool], seconds: float = 120) -> None:
        """Take turns until something has happened."""
        until = now().steady + seconds
        while not enough():
            assert now().steady < until, f"{self.outbox.counts(NAME)} {self.dispatcher.state}"
            version = self.journal.version
            if (pause := self.dispatcher.turn()) > 0 and not enough():
                self.journal.wait(version, min(pause, 0.1))

    @property
    def waiting(self) -> int:
        return self.outbox.counts(NAME).waiting


def a_test(output: str = "out") -> Signal:
    """The signal of a test that a person has requested now."""
    return signal_of_test(
        OutputTestRequested(test_id="test-1", line="line-1", output=output, by="eva", at=datetime.now(UTC))
    )


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal(tmp_path / "gateway", timedelta(days=7)) as opened:
        yield opened


@pytest.fixture
def sending(journal: Journal) -> Iterator[Callable[..., Sending]]:
    """Opens an output with these settings."""
    opened: list[Sending] = []

    def open_another(**settings: Any) -> Sending:
        opened.append(Sending(journal, settings))
        return opened[-1]

    yield open_another
    for each in opened:
        with suppress(OSError):
            each.output.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as opened:
        yield opened


class Product:
    """Parts that are captured now."""

    def __init__(self) -> None:
        self._line = Line(start=datetime.now(UTC))

    def part(self, fault: str | None = None, age: float = 0, **changes: Any) -> PartDecided:
        """The decision about the next part, captured ``age`` seconds ago."""
        verdict = self._line.verdict(fault)
        frame = verdict.frame.model_copy(update={"captured_at": datetime.now(UTC) - timedelta(seconds=age)})
        faults = (fault,) if fault else ()
        return decision_of(verdict.model_copy(update={"frame": frame}), faults=faults, **changes)

    def parts(self, count: int) -> list[PartDecided]:
        return [self.part() for _ in range(count)]


@pytest.fixture
def product() -> Product:
    return Product()

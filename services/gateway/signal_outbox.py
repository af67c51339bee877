"""The signals that outputs have to send, in the journal. Per output: decisions = sent + missed + filtered + waiting."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from services.gateway import metrics
from services.gateway.encoders.encoder import Encoder
from services.gateway.journal import Journal
from services.gateway.outputs.port import Signal
from services.gateway.outputs.settings import AnyOutput
from services.gateway.part_assembly import Now
from shared.messages import REASON_LENGTH, CheckedOutput, PartDecided

TEST_MS: Final = 30_000
"""Milliseconds after which a test signal is not sent any more."""

Outputs = Mapping[str, Mapping[str, AnyOutput]]
"""The settings of the outputs by line and name."""


@dataclass(frozen=True)
class WaitingSignal:
    """A signal that is not sent yet."""

    number: int
    signal: Signal
    due: float
    """When the signal is to be sent, in seconds of the steady clock."""
    expires: float
    """The deadline of the signal, in seconds of the steady clock; infinite if there is none."""
    count: int | None = None
    """The count of the line's encoder at the capture, where the delay is in counts; None if it is not known."""


@dataclass(frozen=True)
class SignalCounts:
    """How many decisions an output got, and what became of them. Test signals are not counted."""

    decisions: int = 0
    filtered: int = 0
    """Excluded by the settings of the output."""
    sent: int = 0
    missed: int = 0
    """Not sent, because the deadline had passed or the receiver refused them."""
    waiting: int = 0

    @property
    def balanced(self) -> bool:
        """Whether each decision was sent, missed or filtered, or is waiting."""
        return self.decisions == self.filtered + self.sent + self.missed + self.waiting


class SignalOutbox:
    """The signals of all outputs. Thread-safe."""

    def __init__(
        self, journal: Journal, outputs: Outputs, clock: Callable[[], Now], encoders: Mapping[str, Encoder] = {}
    ) -> None:
        """Use the journal; ``encoders`` are those of the lines that have one."""
        self._encoders = encoders
        self._journal = journal
        self._outputs = outputs
        self._clock = clock
        self._steady: dict[int, tuple[float, float]] = {}
        """When each signal is due and when it expires, by its number, in seconds of the steady clock."""
        self._read: dict[str, dict[int, WaitingSignal]] = {}
        """The signals that `waiting` returned last, by output and number, so that they are not read again."""

    def add(self, decision: PartDecided, moment: Now) -> None:
        """Add the signals of a decision. Call it in the transaction that stores the decision."""
        for name, settings in self._outputs.get(decision.frame.line, {}).items():
            output = f"{decision.frame.line}/{name}"
            wanted = settings.wants(decision)
            self._count(output, decisions=1, filtered=int(not wanted))
            if wanted:
                count = None if settings.delay_counts is None else self._count_of(decision, moment)
                self._insert(output, Signal.of(decision, name, settings), settings, moment, count)
            else:
                metrics.SIGNALS.labels(decision.frame.line, name, "filtered").inc()

    def add_check(self, decision: PartDecided) -> None:
        """Add the signals of a part of a check to the outputs that want and may get them; no count has them."""
        with self._journal.write():
            moment = self._clock()
            for name, settings in self._outputs.get(decision.frame.line, {}).items():
                if settings.checks and settings.wants(decision):
                    self._insert(f"{decision.frame.line}/{name}", Signal.of(decision, name, settings), settings, moment)

    def checked(
        self, line: str, check_id: str, decisions: Sequence[PartDecided], *, wait_longer: bool
    ) -> tuple[CheckedOutput, ...] | None:
        """Return what became of the signals of a check at each output of a line, by the decisions of the check.

        Signals that still wait are counted as missed; None: there are some, and ``wait_longer``.
        """
        found = []
        for name, settings in self._outputs.get(line, {}).items():
            wanted = [decision for decision in decisions if settings.wants(decision)]
            ids = {Signal.of(decision, name, settings).id for decision in wanted} if settings.checks else set()
            of_check = f"{line}/{name}", f"check/{check_id}/", f"check/{check_id}0"  # "0" is the character after "/"
            with self._journal.read() as database:
                (waiting,) = database.execute(
                    "SELECT count(*) FROM signals WHERE output = ? AND id >= ? AND id < ?", of_check
                ).fetchone()
                rows = database.execute(
                    "SELECT reason FROM missed WHERE output = ? AND id >= ? AND id < ? ORDER BY number", of_check
                ).fetchall()
            if waiting and wait_longer:
                return None
            missed = [reason for (reason,) in rows] + ["it was not sent in time"] * waiting
            found.append(
                CheckedOutput(
                    name=name,
                    type=settings.type,
                    sent=len(ids) - len(missed),
                    missed=len(missed),
                    filtered=len(decisions) - len(wanted),
                    withheld=len(wanted) - len(ids),
                    reason=missed[-1][:REASON_LENGTH] if missed else "",
                )
            )
        return tuple(found)

    def add_test(self, signal: Signal, name: str) -> bool:
        """Add a test signal; False if the line has no such output."""
        settings = self._outputs.get(signal.line, {}).get(name)
        if settings is None:
            return False
        with self._journal.write():
            self._insert(f"{signal.line}/{name}", signal, settings, self._clock())
        return True

    def waiting(self, output: str, most: int) -> Sequence[WaitingSignal]:
        """Return the signals of an output that are not sent, in the order in which they are due; ``most`` at most."""
        moment, before = self._clock(), self._read.get(output, {})
        with self._journal.read() as database:
            numbers = database.execute(
                "SELECT number FROM signals WHERE output = ? ORDER BY due, number LIMIT ?", (output, most)
            ).fetchall()
            rows = [
                database.execute(
                    "SELECT number, body, due, expires, count FROM signals WHERE number = ?", number
                ).fetchone()
                for number in numbers
                if number[0] not in before
            ]
        new = {
            number: WaitingSignal(
                number,
                Signal.model_validate_json(body),
                *self._steady.setdefault(number, _steady(due, expires, moment)),
                count,
            )
            for number, body, due, expires, count in rows
        }
        self._read[output] = {number: before.get(number) or new[number] for (number,) in numbers}
        return list(self._read[output].values())

    def sent(self, output: str, signals: Sequence[WaitingSignal]) -> None:
        """Note that the receiver has these signals, and delete them."""
        counted = sum(not each.signal.test for each in signals)
        with self._journal.mark():
            self._delete(signals)
            self._count(output, sent=counted)
        metrics.SIGNALS.labels(*output.split("/", 1), "sent").inc(counted)

    def missed(self, output: str, signals: Sequence[WaitingSignal], reason: str) -> None:
        """Note that these signals will not be sent, with the reason, and delete them."""
        at = self._clock().wall.timestamp()
        counted = sum(not each.signal.test for each in signals)
        with self._journal.mark() as database:
            self._delete(signals)
            self._count(output, missed=counted)
            database.executemany(
                "INSERT INTO missed (output, id, reason, at) VALUES (?, ?, ?, ?)",
                [(output, each.signal.id, reason, at) for each in signals],
            )
        metrics.SIGNALS.labels(*output.split("/", 1), "missed").inc(counted)

    def settings_of(self, output: str) -> AnyOutput:
        """Return the settings of an output."""
        line, name = output.split("/", 1)
        return self._outputs[line][name]

    def counts(self, output: str) -> SignalCounts:
        """Return the counts of the decisions of an output."""
        with self._journal.read() as database:
            row = database.execute(
                "SELECT decisions, filtered, sent, missed FROM signal_counts WHERE output = ?", (output,)
            ).fetchone() or (0, 0, 0, 0)
            (waiting,) = database.execute(
                "SELECT count(*) FROM signals WHERE output = ? AND test = 0", (output,)
            ).fetchone()
        decisions, filtered, sent, missed = row
        return SignalCounts(decisions, filtered, sent, missed, waiting)

    def reasons(self, output: str) -> list[tuple[str, str]]:
        """Return the ids of the missed signals of an output, oldest first, each with its reason."""
        with self._journal.read() as database:
            return database.execute(
                "SELECT id, reason FROM missed WHERE output = ? ORDER BY number", (output,)
            ).fetchall()

    def _count_of(self, decision: PartDecided, moment: Now) -> int | None:
        """Return the count of the encoder at the capture of a part: that of its trigger, or the one that was read."""
        if decision.frame.encoder_count is not None:
            return decision.frame.encoder_count
        encoder = self._encoders.get(decision.frame.line)
        return encoder.count_at(decision.frame.captured_at, moment) if encoder else None

    def _insert(self, output: str, signal: Signal, settings: AnyOutput, moment: Now, count: int | None = None) -> None:
        captured = min(signal.captured_at, moment.wall).timestamp()  # a camera whose clock is ahead delays no signal
        due = captured + (0 if signal.test else settings.delay_ms / 1000)
        if signal.test and settings.delay_counts is not None:
            due = 0.0  # before the signals that wait for a count, whose times in this column are their captures
        deadline_ms = settings.time_limit_ms
        if signal.test:
            deadline_ms = min(TEST_MS, deadline_ms or TEST_MS) if signal.check else TEST_MS
        expires = None if deadline_ms is None else captured + deadline_ms / 1000
        cursor = self._journal.database.execute(
            "INSERT OR IGNORE INTO signals (output, id, due, expires, count, test, body) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (output, signal.id, due, expires, count, signal.test, signal.encode()),
        )
        if cursor.rowcount and cursor.lastrowid:
            self._steady[cursor.lastrowid] = _steady(due, expires, moment)

    def _delete(self, signals: Sequence[WaitingSignal]) -> None:
        self._journal.database.executemany("DELETE FROM signals WHERE number = ?", [(each.number,) for each in signals])
        for each in signals:
            self._steady.pop(each.number, None)

    def _count(self, output: str, **more: int) -> None:
        database = self._journal.database
        database.execute("INSERT OR IGNORE INTO signal_counts (output) VALUES (?)", (output,))
        for column, amount in more.items():
            database.execute(f"UPDATE signal_counts SET {column} = {column} + ? WHERE output = ?", (amount, output))  # noqa: S608


def _steady(due: float, expires: float | None, moment: Now) -> tuple[float, float]:
    """Convert two times from Unix time to seconds of the steady clock; no expiry becomes infinity."""
    offset = moment.steady - moment.wall.timestamp()
    return due + offset, math.inf if expires is None else expires + offset

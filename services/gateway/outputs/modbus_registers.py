"""The registers that a PLC reads and writes, and the handshake of results. docs/factory.md lists them.

They are in Seamline's own Modbus server, or are copied to and from those of a PLC.

A result stays in the registers until the PLC acknowledges it, in one of two ways. The PLC sees *results valid*, reads
the result, sets *results ack*, sees *results valid* fall, and clears *results ack*; then the next result is shown. Or
the PLC writes the number of the result into the register `TAKEN`; then the next result is shown at once.
"""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Final

from services.gateway.outputs.port import LineStatus, Signal, Trouble
from services.gateway.outputs.settings import BLOCK, HandshakeSettings
from shared.messages import PartAction, PartVerdict
from shared.modbus_server import text_registers, words

SIZE: Final = 256
"""Number of registers."""
CONTROL: Final = 0
TAKEN: Final = 1
"""The PLC writes the number of a result here to acknowledge it with one request."""
COUNT: Final = 2
"""The PLC writes the count of the line's encoder here: 32 bits, the high word first."""
RECIPE: Final = 4
"""The PLC writes the number of a recipe here to change that of the line; 0 deletes the answer."""
STATUS: Final = 16
HEARTBEAT: Final = 17
ERROR: Final = 18
WAITING: Final = 19
OVERRUNS: Final = 20
PARTS: Final = 22
"""Counters of 32 bits, the high word first: ok, NG, not inspected."""
LINE_RECIPE: Final = 28
"""The number of the line's recipe, then the number of the last request, and its answer."""
STATUS_END: Final = LINE_RECIPE + 3
"""The register after the last one of the status."""
RESULT: Final = 64
NUMBER: Final = 64
VERDICT: Final = 65
ACTION: Final = 66
LABELS: Final = 67
MISSING: Final = 68
SCORES: Final = 70
"""The first register of the scores: one per label, 0 to 10,000."""
SCORE_COUNT: Final = 16
CAPTURED: Final = 88
"""Unix time of the capture in milliseconds: 64 bits, the high word first."""
NAME: Final = 92
NAME_LENGTH: Final = BLOCK - NAME
"""Registers of the part's name, with two ASCII characters in each and zeros after the name."""

VERDICTS: Final = {PartVerdict.OK: 1, PartVerdict.NG: 2, PartVerdict.NOT_INSPECTED: 3}
ACTIONS: Final = {PartAction.PASS: 1, PartAction.REJECT: 2, PartAction.STOP: 3}
HEARTBEAT_SECONDS: Final = 1.0
"""Seconds after which the heartbeat bit changes."""
STATUS_SECONDS: Final = 1.0
"""Seconds without a call of `show` after which the gateway counts as stalled, and the line is not online."""
LONGEST_NEED: Final = 0.1
"""Most seconds that `seconds_needed` can be."""
LEARNING: Final = 0.1
"""Weight of the last result in the mean time to an acknowledgement."""
REMEMBERED: Final = 1_000
"""Most results whose numbers are remembered, so that a result that is shown again has the same number."""


class Control(IntFlag):
    """Bits of the control word, which the PLC writes."""

    RESULTS_ACK = 1
    OFFLINE = 2
    """The PLC asks for no results."""
    CLEAR = 4
    """Clears the bit `Status.OVERRUN`."""


class Status(IntFlag):
    """Bits of the status word."""

    ONLINE = 1
    RESULTS_VALID = 2
    OVERRUN = 4
    """A result was withdrawn because the PLC did not acknowledge it in time."""
    OFFLINE = 8
    """The PLC has set *offline*, and gets no results."""
    TEST = 16
    """The result is a test and belongs to no part."""
    READY = 32
    """The line is online, and no check is due."""
    UNCHECKED = 64
    """The part of the result was decided while a check of the line was due."""


class RecipeAnswer(IntEnum):
    """What became of the PLC's last request of a recipe."""

    NONE = 0
    CHANGING = 1
    DONE = 2
    REFUSED = 3


@dataclass(frozen=True)
class ShownRecipe:
    """What the PLC sees of the line's recipe."""

    number: int = 0
    """0: the recipe has no number, or it is the workers' own."""
    requested: int = 0
    """The number that the PLC has requested last."""
    answer: RecipeAnswer = RecipeAnswer.NONE


class Registers:
    """The registers and the state of the handshake. Thread-safe."""

    def __init__(self, settings: HandshakeSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._bits = settings.bits
        self._ack_seconds = settings.ack_seconds
        self._hold_seconds = settings.hold_ms / 1000
        limit_ms = settings.time_limit_ms
        usable_ms = math.inf if limit_ms is None else limit_ms - settings.delay_ms
        self._longest_need = min(LONGEST_NEED, usable_ms / 4_000)
        self._clock = clock
        self.on_count: Callable[[int], None] = lambda _count: None
        """Called with each count of the encoder that the PLC writes."""
        self.on_recipe: Callable[[int], None] = lambda _number: None
        """Called with each number of a recipe that the PLC writes."""
        self.recipe = ShownRecipe()
        self._written_recipe = 0
        self._changed = threading.Condition(threading.RLock())
        self._control = Control(0)
        self._queue: deque[tuple[Signal, float]] = deque()
        """The results that wait, each with its deadline in seconds of the clock."""
        self._valid = False
        """Whether the first result of the queue is shown."""
        self._withdrawn = False
        """Whether the PLC has not seen so far that *results valid* fell, because a result was withdrawn."""
        self._version = 0
        """A number that grows with each change of the result and of *results valid*."""
        self._result = [0] * (SIZE - RESULT)
        self._test = False
        self._unchecked = False
        self._acknowledged = 0
        self._acknowledged_at = -math.inf
        self._result_shown_at = -math.inf
        self._mean_seconds = 0.0
        """Mean seconds from showing a result to its acknowledgement."""
        self._numbers: OrderedDict[str, int] = OrderedDict()
        self._number = 0
        self._overrun = False
        self._overruns = 0
        self._status = LineStatus(Trouble.GATEWAY)
        self._shown_at = clock()

    def show(self, status: LineStatus) -> None:
        """Set the status of the line."""
        with self._changed:
            self._status, self._shown_at = status, self._clock()

    def write(self, address: int, values: Sequence[int]) -> bool:
        """Apply what the PLC writes; return False if the PLC may not write these registers."""
        if address == COUNT and len(values) == 2:
            self.on_count(values[0] << 16 | values[1])
            return True
        if address not in (CONTROL, TAKEN, RECIPE) or len(values) != 1:
            return False
        if address == RECIPE:
            self._written_recipe = values[0]
            self.on_recipe(values[0])
            return True
        with self._changed:
            if address == TAKEN:
                if self._valid and self._queue and values[0] == self._result[NUMBER - RESULT]:
                    self._acknowledge()
                    self._advance()
                return True
            before, self._control = self._control, Control(values[0] & sum(Control))
            risen = self._control & ~before
            if Control.RESULTS_ACK in risen and self._valid and self._queue:
                self._acknowledge()
            if Control.CLEAR in risen:
                self._overrun = False
            self._advance()
        return True

    def resume(self, number: int) -> None:
        """Number the results after the last one that the PLC has seen."""
        with self._changed:
            self._number = number

    def wait(self, version: int, seconds: float) -> int:
        """Wait for another version of the result, for ``seconds`` at most, and return the present version."""
        with self._changed:
            self._changed.wait_for(lambda: self._version != version, seconds)
            return self._version

    def read(self, *, seen: bool = True) -> list[int]:
        """Return all registers. If the PLC does not see them at once, call `mark_seen` when it does."""
        now = self._clock()
        with self._changed:
            is_fresh = now - self._shown_at < STATUS_SECONDS
            online = is_fresh and self._status.online
            status = Status(0)
            for bit, is_set in (
                (Status.ONLINE, online),
                (Status.RESULTS_VALID, self._valid),
                (Status.OVERRUN, self._overrun),
                (Status.OFFLINE, Control.OFFLINE in self._control),
                (Status.TEST, self._valid and self._test),
                (Status.READY, is_fresh and self._status.ready),
                (Status.UNCHECKED, self._valid and self._unchecked),
            ):
                status |= bit if is_set else Status(0)
            registers = [0] * RESULT
            registers[CONTROL] = int(self._control)
            registers[RECIPE] = self._written_recipe
            registers[STATUS] = int(status)
            registers[HEARTBEAT] = int((now if is_fresh else self._shown_at) // HEARTBEAT_SECONDS) % 2
            registers[ERROR] = int(self._status.trouble if is_fresh else Trouble.GATEWAY)
            registers[WAITING] = len(self._queue)
            registers[OVERRUNS : OVERRUNS + 2] = words(self._overruns, 2)
            for place, count in enumerate((self._status.ok, self._status.ng, self._status.not_inspected)):
                registers[PARTS + 2 * place : PARTS + 2 * place + 2] = words(count, 2)
            shown = self.recipe
            registers[LINE_RECIPE:STATUS_END] = [shown.number, shown.requested, int(shown.answer)]
            registers += self._result
            if seen:
                self.mark_seen()
            return registers

    def mark_seen(self) -> None:
        """Note that the PLC has seen *results valid* fall, if it did."""
        with self._changed:
            if self._withdrawn:
                self._withdrawn = False
                self._advance()

    def deliver(self, signals: Sequence[Signal], seconds: Sequence[float]) -> int:
        """Show signals one after the other, and return how many the PLC has acknowledged, from the first on.

        The first signal that is not acknowledged in time is withdrawn, and the signals after it are not shown. The next
        one is shown when the PLC has seen that *results valid* fell, so that it acknowledges none for another. A signal
        is not shown either if less than `seconds_needed` is left to its deadline. Otherwise a PLC that is slower than
        the parts would see each result just before its deadline, and acknowledge none in time.

        Args:
            signals: the results.
            seconds: the seconds to the deadline of each signal; infinite without a deadline.
        """
        if self._hold_seconds:
            return self._show_in_turn(signals, seconds)
        begun = since = self._clock()
        with self._changed:
            self._acknowledged = 0
            self._queue.extend((signal, begun + left) for signal, left in zip(signals, seconds, strict=True))
            self._advance()
            acknowledged_before = 0
            while (done := self._acknowledged) < len(signals):
                now = self._clock()
                if done > acknowledged_before:
                    acknowledged_before, since = done, now
                needed = 0 if self._valid else self.seconds_needed
                if (left := min(begun + seconds[done] - needed, since + self._ack_seconds) - now) <= 0:
                    break
                self._changed.wait(left)
            if done < len(signals):
                self._queue.clear()
                if self._valid:
                    self._learn(2 * (self._clock() - self._result_shown_at))
                    self._withdrawn = True
                self._overrun = self._overrun or self.wanted
                self._overruns += self.wanted
                self._set_valid(valid=False)
            return done

    def _show_in_turn(self, signals: Sequence[Signal], seconds: Sequence[float]) -> int:
        """Show each signal for ``hold_ms`` without an acknowledgement, and return how many were shown in time."""
        begun = self._clock()
        for place, signal in enumerate(signals):
            if not self.wanted or self._clock() - begun > seconds[place]:
                return place
            with self._changed:
                self._take(signal)
            time.sleep(self._hold_seconds)
        return len(signals)

    @property
    def wanted(self) -> bool:
        """Whether the PLC asks for results: it has not set *offline*."""
        return Control.OFFLINE not in self._control

    @property
    def seconds_needed(self) -> float:
        """The seconds that the PLC needs to acknowledge a result: twice the mean, at most `LONGEST_NEED`."""
        return min(2 * self._mean_seconds, self._longest_need)

    @property
    def seconds_unacknowledged(self) -> float:
        """The seconds since the PLC last acknowledged a result; infinite if it never has."""
        return self._clock() - self._acknowledged_at

    def _acknowledge(self) -> None:
        self._queue.popleft()
        self._acknowledged += 1
        self._acknowledged_at = self._clock()
        self._learn(self._acknowledged_at - self._result_shown_at)
        self._set_valid(valid=False)

    def _set_valid(self, *, valid: bool) -> None:
        self._valid = valid
        self._version += 1
        self._changed.notify_all()

    def _learn(self, seconds: float) -> None:
        self._mean_seconds += (LEARNING if self._mean_seconds else 1) * (seconds - self._mean_seconds)

    def _advance(self) -> None:
        """Show the next result if the PLC asks for results and has cleared *results ack*, and enough time is left."""
        is_free = not self._valid and not self._withdrawn and Control.RESULTS_ACK not in self._control
        if self._queue and is_free and self.wanted:
            (signal, deadline), now = self._queue[0], self._clock()
            if deadline - now > self.seconds_needed:
                self._take(signal)
                self._result_shown_at = now
        self._changed.notify_all()

    def _take(self, signal: Signal) -> None:
        """Put a signal into the registers of the result."""
        self._result = self._registers_of(signal)
        self._test, self._unchecked = signal.test, signal.unchecked
        self._set_valid(valid=True)

    def _registers_of(self, signal: Signal) -> list[int]:
        if signal.id not in self._numbers:
            self._number = self._number % 0xFFFF + 1
            self._numbers[signal.id] = self._number
            while len(self._numbers) > REMEMBERED:
                self._numbers.popitem(last=False)
        registers = [0] * SIZE
        registers[NUMBER] = self._numbers[signal.id]
        registers[VERDICT] = VERDICTS[signal.verdict]
        registers[ACTION] = ACTIONS[signal.action]
        registers[LABELS] = sum(1 << place for place, label in enumerate(self._bits) if label in signal.faults)
        registers[MISSING] = min(signal.missing, 0xFFFF)
        for place, label in enumerate(self._bits):
            registers[SCORES + place] = round(signal.scores.get(label, 0) * 10_000)
        registers[CAPTURED : CAPTURED + 4] = words(int(signal.captured_at.timestamp() * 1000), 4)
        registers[NAME : NAME + NAME_LENGTH] = text_registers(signal.part, NAME_LENGTH)
        return registers[RESULT:]

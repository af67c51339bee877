"""Send the signals of one output when they are due, with retries until the receiver has them or deadlines pass."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import structlog

from services.gateway import metrics
from services.gateway.encoders.encoder import Way
from services.gateway.journal import Journal
from services.gateway.outputs.port import LineStatus, Output, OutputRefused, OutputUnavailable
from services.gateway.part_assembly import Now
from services.gateway.signal_outbox import SignalOutbox, WaitingSignal
from shared.health import Health
from shared.messages import OutputReport
from shared.messaging.traces import signalling

LONGEST_WAIT: Final = 0.5
"""Most seconds between two calls of `Dispatcher.turn`, if no signal is waiting."""
COUNT_SECONDS: Final = 0.005
"""Seconds between two calls, if signals wait for a count of the encoder."""
SHORTEST_PAUSE: Final = 0.2
"""Seconds of the pause after the first failure; it doubles with each failure, up to the output's longest pause."""
ERROR_LENGTH: Final = 200
"""Most characters of an error that are reported."""

_log = structlog.stdlib.get_logger("outputs")
_rng: Final = random.Random()  # noqa: S311  jitter of retries needs no secure generator; tests seed the global one


@dataclass(frozen=True)
class OutputState:
    """Whether an output works, and its last error."""

    failing: bool = False
    last_error: str = ""
    failed_at: datetime | None = None


class Dispatcher:
    """Sends the signals of one output; `run` is its thread."""

    def __init__(
        self,
        name: str,
        output: Output,
        outbox: SignalOutbox,
        journal: Journal,
        clock: Callable[[], Now],
        *,
        way: Way | None = None,
    ) -> None:
        """Start without an attempt.

        Args:
            name: the output as ``<line>/<output>``.
            output: sends the signals.
            outbox: has the signals.
            journal: says when there are more of them.
            clock: returns the present moment.
            way: the delay and the deadline in counts of the line's encoder; None if they are times.
        """
        self._way = way
        self.name = name
        self.state = OutputState()
        self._output = output
        self._outbox = outbox
        self._journal = journal
        self._clock = clock
        self._failures = 0
        self._again_at = 0.0
        """The time of the next try, in seconds of the steady clock."""
        self._tried: frozenset[int] = frozenset()
        """The numbers of the signals of the last try."""
        for outcome in ("sent", "missed", "filtered"):
            metrics.SIGNALS.labels(
                *name.split("/", 1), outcome
            )  # Prometheus then sees 0 before the first missed signal

    def run(self, stop: threading.Event, health: Health) -> None:
        """Send signals until ``stop`` is set."""
        self._show()
        self._try(self._check)
        while not stop.is_set():
            health.beat()
            version = self._journal.version
            seconds = self.turn()
            if seconds > 0:
                self._journal.wait(version, min(seconds, LONGEST_WAIT))
        self._output.close()

    def turn(self) -> float:
        """Send the signals that are due, mark expired signals as missed, and return the seconds until the next turn."""
        waiting = self._outbox.waiting(self.name, self._output.group)
        moment = self._clock()
        now = moment.steady
        if self._miss_expired(waiting, now) or (self._way and self._miss_lost(self._way, waiting, moment)):
            return 0
        if self._way and (reason := self._way.encoder.failure):
            self._note_failure(reason)  # signals that do not wait for a count are sent all the same
        due = [each for each in waiting if each.due <= now and self._is_reached(each)]
        if self._again_at > now:
            return min([self._again_at - now, *(each.expires - now for each in waiting)])
        if not due:
            if self.state.failing and not (self._way and self._way.encoder.failure) and (not waiting or self._way):
                self._try(self._check)
            if waiting and self._way:
                return COUNT_SECONDS
            return waiting[0].due - now if waiting else LONGEST_WAIT
        if (left := self._seconds_to_collect(due, now)) > 0:
            return left
        self._tried = frozenset(each.number for each in due)
        to_send = [each.signal for each in due]
        frames = [frame for signal in to_send if not signal.test for frame in signal.frames]

        def send() -> int:
            with signalling(self.name, frames):
                return self._output.send(to_send)

        try:
            if sent := self._try(send):
                self._outbox.sent(self.name, due[:sent])
        except OutputRefused as refused:
            self._miss(due[: refused.signals], str(refused))
        return 0

    def _is_reached(self, waiting: WaitingSignal) -> bool:
        return self._way is None or waiting.signal.test or self._way.is_reached(waiting.count)

    def _miss_expired(self, waiting: Sequence[WaitingSignal], now: float) -> bool:
        """Miss the signals whose deadlines have passed, and return whether there were some."""
        too_late = now + self._output.seconds_needed
        expired = [each for each in waiting if each.expires <= too_late]
        for was_tried, otherwise in ((True, "the receiver was too slow"), (False, "decided too late")):
            if signals := [each for each in expired if (each.number in self._tried) is was_tried]:
                reason = self.state.last_error if self.state.failing else otherwise
                self._miss(signals, f"its deadline had passed: {reason}")
        return bool(expired)

    def _miss_lost(self, way: Way, waiting: Sequence[WaitingSignal], moment: Now) -> bool:
        """Miss the signals whose parts are past the deadline in counts, or in an unknown place, as `_miss_expired`."""
        missed = dict[str, list[WaitingSignal]]()
        for each in waiting:
            if not each.signal.test and (reason := way.missed(each.signal.captured_at, each.count, moment)):
                missed.setdefault(reason, []).append(each)
        for reason, signals in missed.items():
            self._miss(signals, reason)
        return bool(missed)

    def _check(self) -> None:
        if self._way and (reason := self._way.encoder.failure):
            raise OutputUnavailable(reason)
        self._output.check()

    def _seconds_to_collect(self, due: Sequence[WaitingSignal], now: float) -> float:
        """Return the seconds to wait for more signals of the same batch before sending ``due`` together."""
        one_batch = len({each.signal.batch for each in due}) == 1
        if len(due) >= self._output.group or not one_batch or any(each.signal.test for each in due):
            return 0
        return min(due[0].due + self._output.collect_seconds, *(each.expires for each in due)) - now

    def _try(self, attempt: Callable[[], int | None]) -> int:
        """Return how many signals an attempt has sent; after a failure, return 0 and delay the next attempt."""
        try:
            sent = attempt() or 0
        except OutputUnavailable as error:
            self._note_failure(str(error))
            pause = min(self._output.longest_pause, SHORTEST_PAUSE * 2 ** min(self._failures, 10))
            self._failures += 1
            self._again_at = self._clock().steady + pause * _rng.uniform(0.5, 1)
            return 0
        if self.state.failing:
            _log.info("an output works again", output=self.name)
        self.state = OutputState(last_error=self.state.last_error, failed_at=self.state.failed_at)
        self._failures, self._again_at = 0, 0.0
        self._show()
        return sent

    def _note_failure(self, error: str) -> None:
        reason = " ".join(error.split())[:ERROR_LENGTH]
        encoder = self._way.encoder if self._way and self._way.encoder.failure else None
        if not self.state.failing:
            _log.error(
                "an output fails; its signals wait until their deadlines",
                output=self.name,
                reason=reason,
                remedy=encoder.remedy if encoder else self._outbox.settings_of(self.name).remedy,
            )
        elif reason == self.state.last_error:
            return
        self.state = OutputState(failing=True, last_error=reason, failed_at=datetime.now(UTC))
        self._show()

    def report(self) -> OutputReport:
        """Return the state of the output, and how many of its decisions were sent, missed, filtered or are waiting."""
        counts = self._outbox.counts(self.name)
        return OutputReport(
            name=self.name.partition("/")[2],
            type=self._outbox.settings_of(self.name).type,
            failing=self.state.failing,
            last_error=self.state.last_error,
            decisions=counts.decisions,
            filtered=counts.filtered,
            sent=counts.sent,
            missed=counts.missed,
            waiting=counts.waiting,
        )

    def show(self, status: LineStatus) -> None:
        """Show the receiver the status of the line."""
        self._output.show(status)

    def _miss(self, signals: Sequence[WaitingSignal], reason: str) -> None:
        _log.error("missed signals", output=self.name, signals=len(signals), reason=reason)
        self._outbox.missed(self.name, signals, reason)

    def _show(self) -> None:
        line, name = self.name.split("/", 1)
        metrics.OUTPUT_UP.labels(line, name).set(not self.state.failing)
        metrics.OUTPUT.labels(line, name).info({"last_error": self.state.last_error})


class Dispatchers:
    """The outputs of all lines."""

    def __init__(self, dispatchers: Sequence[Dispatcher]) -> None:
        self.all = dispatchers

    def show(self, line: str, status: LineStatus) -> None:
        """Show the status of a line to the receivers of its outputs."""
        for dispatcher in self._of(line):
            dispatcher.show(status)

    def reports(self, line: str) -> tuple[OutputReport, ...]:
        """Return the states of the outputs of a line."""
        return tuple(dispatcher.report() for dispatcher in self._of(line))

    def _of(self, line: str) -> Iterator[Dispatcher]:
        return (dispatcher for dispatcher in self.all if dispatcher.name.startswith(f"{line}/"))

"""Follow the count of an encoder: the count at which a part was captured, and how far the part has moved since."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import structlog

from services.gateway.encoders.settings import EncoderSettings
from services.gateway.part_assembly import Now

HISTORY_SECONDS: Final = 60.0
"""Seconds for which readings are remembered."""
OUTAGE_SECONDS: Final = 10.0
"""After this time without a reading, or before the first one, parts that were captured before it are lost."""
STILL_SECONDS: Final = 0.5
"""Between two readings that are farther apart, an encoder that is not polled stood still at the first one."""

_log = structlog.stdlib.get_logger("encoder")


@dataclass(frozen=True)
class Reading:
    """A count, and from when to when it was read, in seconds of the steady clock."""

    count: int
    first_at: float
    last_at: float


class Encoder:
    """The count of an encoder, which runs over after its largest count. Thread-safe.

    A distance is told by the shorter way round the counter: less than half of its range.
    """

    def __init__(self, settings: EncoderSettings, clock: Callable[[], Now], *, is_polled: bool) -> None:
        """Start without a reading.

        Args:
            settings: the settings of the encoder.
            clock: returns the present moment.
            is_polled: whether the count is read again and again, also while it stands still.
        """
        self._settings = settings
        self._clock = clock
        self._is_polled = is_polled
        self._range = 1 << settings.bits
        self._lock = threading.Lock()
        self._readings: deque[Reading] = deque()
        self._failure = "the encoder has not been read so far"
        self._failed = False
        """Whether a reading has failed since the last one."""
        self._known_since = 0.0
        """Parts that were captured before are lost; in seconds of the steady clock."""
        self._lost_by = ""
        """Why they are lost."""

    def note(self, count: int) -> None:
        """Note a reading."""
        now = self._clock().steady
        with self._lock:
            if not 0 <= count < self._range:
                self._failure = f"the encoder has the count {count}, which has more than {self._settings.bits} bits"
                self._failed = True
                return
            last = self._readings[-1] if self._readings else None
            if last is None:
                self._forget(now - OUTAGE_SECONDS, "the gateway was started after its capture")
            elif self._is_outage(now - last.last_at):
                self._forget(now, f"the encoder was not read for {now - last.last_at:.0f} s")
                last = None
            elif self._is_jump(self._between(last.count, count), now - last.last_at):
                _log.warning("an encoder jumped: parts before that are missed", before=last.count, after=count)
                self._forget(now, f"the encoder jumped from {last.count} to {count}")
                last = None
            self._failure, self._failed = "", False
            if last and last.count == count:
                self._readings[-1] = replace(last, last_at=now)
            else:
                self._readings.append(Reading(count, now, now))
            while len(self._readings) > 1 and self._readings[1].first_at < now - HISTORY_SECONDS:
                self._readings.popleft()

    def fail(self, reason: str) -> None:
        """Note that the count can't be read."""
        with self._lock:
            self._failure, self._failed = reason, True

    @property
    def remedy(self) -> str:
        """What to do when the count can't be read."""
        return self._settings.remedy

    @property
    def failure(self) -> str:
        """Why the count is not known; empty if it is."""
        limit = self._settings.silence_seconds
        with self._lock:
            if not self._failure and limit and self._readings:
                silent = self._clock().steady - self._readings[-1].last_at
                if silent > limit:
                    return f"the encoder has sent no count for {silent:.0f} s"
            return self._failure

    def count_at(self, captured_at: datetime, moment: Now) -> int | None:
        """Return the count at a moment of the last minute; None if it is not known."""
        at = moment.steady - (moment.wall - captured_at).total_seconds()
        with self._lock:
            before: Reading | None = None
            for reading in reversed(self._readings):
                if reading.first_at <= at:
                    before = reading
                    break
                after = reading
            if before is None:
                return None
            if at <= before.last_at:
                return before.count
            if before is self._readings[-1]:
                return None if self._failed else before.count
            apart = after.first_at - before.last_at
            if apart > STILL_SECONDS and not self._is_polled:
                return before.count
            share = (at - before.last_at) / apart
            return (before.count + round(self._between(before.count, after.count) * share)) % self._range

    def passed(self, count: int) -> int | None:
        """Return by how many counts a position is passed, negative before it; None if the count is not known."""
        if self.failure:
            return None
        with self._lock:
            return self._between(count, self._readings[-1].count)

    def lost(self, captured_at: datetime, moment: Now) -> str:
        """Return why the way of a part is not known since its capture; empty if it is known."""
        at = moment.steady - (moment.wall - captured_at).total_seconds()
        with self._lock:
            return self._lost_by if self._readings and at < self._known_since else ""

    def _forget(self, known_since: float, reason: str) -> None:
        self._readings.clear()
        self._known_since, self._lost_by = known_since, reason

    def _is_outage(self, seconds: float) -> bool:
        limit = self._settings.silence_seconds
        return seconds > OUTAGE_SECONDS and (self._failed or self._is_polled or (limit is not None and seconds > limit))

    def _is_jump(self, moved: int, seconds: float) -> bool:
        most = self._settings.most_per_second
        too_fast = most is not None and abs(moved) > most * seconds + self._settings.most_back
        return moved < -self._settings.most_back or too_fast

    def _between(self, first: int, second: int) -> int:
        """Return the counts from one count to another by the shorter way, negative for a way back."""
        half = self._range // 2
        return (second - first + half) % self._range - half


@dataclass(frozen=True)
class Way:
    """The way of the parts of a line from the capture to where an output acts on them."""

    encoder: Encoder
    delay_counts: int
    """Counts from the capture to the signal."""
    deadline_counts: int
    """Counts from the capture after which a signal is not sent."""

    def is_reached(self, count: int | None) -> bool:
        """Return whether a part that was captured at ``count`` has come to where the signal is due."""
        passed = self.encoder.passed(count) if count is not None else None
        return passed is not None and passed >= self.delay_counts

    def missed(self, captured_at: datetime, count: int | None, moment: Now) -> str:
        """Return why the signal of a part can't be sent any more; empty if it can."""
        if count is None:
            return f"the encoder's count at its capture is not known: {self.encoder.failure or 'it was not read then'}"
        if reason := self.encoder.lost(captured_at, moment):
            return f"its place is not known: {reason}"
        passed = self.encoder.passed(count)
        if passed is not None and passed > self.deadline_counts:
            return f"its part was {passed} counts past its capture, and deadline_counts is {self.deadline_counts}"
        return ""

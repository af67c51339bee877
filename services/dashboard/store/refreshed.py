"""Values that take long to read: a thread of their own reads them again, and no request waits long."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

Value = TypeVar("Value")


@dataclass(frozen=True)
class Reading(Generic[Value]):
    """What a reading came to."""

    value: Value | None = None
    """Of a reading that failed: the one before."""
    error: Exception | None = None
    at: float = float("-inf")
    """On the monotonic clock."""


class Refreshed(Generic[Value]):
    """The last value that was read; old ones are read again when somebody asks, one reading at a time."""

    def __init__(self, read: Callable[[], Value], *, fresh_seconds: float, name: str) -> None:
        """``fresh_seconds``: a reading is given again for so long; ``name``: of the thread that reads."""
        self._read = read
        self._fresh_seconds = fresh_seconds
        self._name = name
        self._last: Reading[Value] = Reading()
        self._known: Value | None = None
        self._changed = threading.Condition()
        self._reading = False
        self._preparing = False
        self._outdated = False

    def prepare(self) -> None:
        """Begin to read a value that is shown only where a look has no time for a newer one."""
        with self._changed:
            self._begin(preparing=True)

    def look(self, patience: float) -> Reading[Value]:
        """The newest reading; an old one is read again, and waited for at most ``patience`` seconds.

        Where that is too short, the value is the last one that was known, and the error a `TimeoutError`.
        """
        with self._changed:
            if time.monotonic() - self._last.at < self._fresh_seconds:
                return self._last
            until = time.monotonic() + patience
            if self._changed.wait_for(lambda: not self._preparing, patience):
                self._begin(preparing=False)
            if self._changed.wait_for(lambda: not self._reading, until - time.monotonic()):
                return self._last
            return Reading(self._known, TimeoutError("no answer yet"), self._last.at)

    def forget(self) -> None:
        """The next look reads again; what is being read now is old already."""
        with self._changed:
            self._last, self._known = Reading(), None
            self._outdated = self._reading

    def _begin(self, *, preparing: bool) -> None:
        if not self._reading:
            self._reading, self._preparing = True, preparing
            threading.Thread(target=self._refresh, name=self._name, daemon=True).start()

    def _refresh(self) -> None:
        value, error = self._known, None
        try:
            value = self._read()
        except Exception as failure:  # noqa: BLE001  whoever asks is told
            error = failure
        with self._changed:
            at = Reading().at if self._outdated or self._preparing else time.monotonic()
            self._last = Reading(value, error, at)
            self._known = None if self._outdated else value
            self._reading = self._preparing = self._outdated = False
            self._changed.notify_all()

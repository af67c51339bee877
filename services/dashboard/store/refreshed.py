"""Cached values that take long to read: a thread reads them again, so that no request waits long."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

Value = TypeVar("Value")


@dataclass(frozen=True)
class CachedValue(Generic[Value]):
    """What was read."""

    value: Value | None = None
    """After a failure: the value before."""
    error: Exception | None = None
    at: float = float("-inf")
    """Time of the monotonic clock."""


class Refreshed(Generic[Value]):
    """A cached value; if it is old when it is requested, it is read again, by one thread at a time."""

    def __init__(self, read: Callable[[], Value], *, fresh_seconds: float, name: str) -> None:
        """``fresh_seconds`` is the time for which a value is not read again; ``name`` names the thread that reads."""
        self._read = read
        self._fresh_seconds = fresh_seconds
        self._name = name
        self._last: CachedValue[Value] = CachedValue()
        self._value: Value | None = None
        self._changed = threading.Condition()
        self._reading = False
        self._preparing = False
        self._outdated = False

    def prepare(self) -> None:
        """Start to read a value, which `get` returns only if it has no time for a newer one."""
        with self._changed:
            self._start(preparing=True)

    def get(self, timeout: float) -> CachedValue[Value]:
        """Return the value; read an old one again, and wait for that at most ``timeout`` seconds.

        After the timeout the value is the last one that was read, and the error is a `TimeoutError`.
        """
        with self._changed:
            if time.monotonic() - self._last.at < self._fresh_seconds:
                return self._last
            until = time.monotonic() + timeout
            if self._changed.wait_for(lambda: not self._preparing, timeout):
                self._start(preparing=False)
            if self._changed.wait_for(lambda: not self._reading, until - time.monotonic()):
                return self._last
            return CachedValue(self._value, TimeoutError("no answer yet"), self._last.at)

    def invalidate(self) -> None:
        """Read again at the next `get`; a value that is being read now is outdated."""
        with self._changed:
            self._last, self._value = CachedValue(), None
            self._outdated = self._reading

    def _start(self, *, preparing: bool) -> None:
        if not self._reading:
            self._reading, self._preparing = True, preparing
            threading.Thread(target=self._refresh, name=self._name, daemon=True).start()

    def _refresh(self) -> None:
        value, error = self._value, None
        try:
            value = self._read()
        except Exception as failure:  # noqa: BLE001  the caller of `get` handles it
            error = failure
        with self._changed:
            at = CachedValue().at if self._outdated or self._preparing else time.monotonic()
            self._last = CachedValue(value, error, at)
            self._value = None if self._outdated else value
            self._reading = self._preparing = self._outdated = False
            self._changed.notify_all()

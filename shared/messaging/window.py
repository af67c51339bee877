"""A bound on what a publisher has under way."""

from __future__ import annotations

import threading
import time
from typing import Final

MESSAGES: Final = 512
BYTES: Final = 32 * 1024**2


class Window:
    """So many messages and so many bytes at a time; a single message larger than the window passes alone."""

    def __init__(self, messages: int = MESSAGES, size: int = BYTES) -> None:
        self._messages_limit = messages
        self._bytes_limit = size
        self._messages = 0
        self._bytes = 0
        self._moved_at = time.monotonic()
        self._changed = threading.Condition()

    def enter(self, size: int) -> None:
        """Wait for room for a message of ``size`` bytes, and take it."""
        with self._changed:
            self._changed.wait_for(lambda: self._has_room(size))
            if self._messages == 0:
                self._moved_at = time.monotonic()
            self._messages += 1
            self._bytes += size

    def leave(self, size: int) -> None:
        """Give back the room of a message of ``size`` bytes."""
        with self._changed:
            self._messages -= 1
            self._bytes -= size
            self._moved_at = time.monotonic()
            self._changed.notify_all()

    def seconds_still(self) -> float:
        """How long nothing has left although something is under way."""
        with self._changed:
            return time.monotonic() - self._moved_at if self._messages else 0.0

    def wait_empty(self, seconds: float) -> bool:
        """Wait until nothing is under way; whether that came true in time."""
        with self._changed:
            return self._changed.wait_for(lambda: self._messages == 0, seconds)

    def _has_room(self, size: int) -> bool:
        if self._messages == 0:
            return True
        return self._messages < self._messages_limit and self._bytes + size <= self._bytes_limit

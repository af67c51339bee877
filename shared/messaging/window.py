"""Limit the messages of a publisher that are not confirmed yet."""

from __future__ import annotations

import threading
import time
from typing import Final

MESSAGES: Final = 512
BYTES: Final = 32 * 1024**2


class Window:
    """Limit the unconfirmed messages and their bytes; a message larger than the limit is sent alone."""

    def __init__(self, messages: int = MESSAGES, size: int = BYTES) -> None:
        self._messages_limit = messages
        self._bytes_limit = size
        self._messages = 0
        self._bytes = 0
        self._moved_at = time.monotonic()
        self._changed = threading.Condition()

    def enter(self, size: int) -> None:
        """Wait until a message of ``size`` bytes fits, and count it."""

        def has_room() -> bool:
            fits = self._messages < self._messages_limit and self._bytes + size <= self._bytes_limit
            return self._messages == 0 or fits

        with self._changed:
            self._changed.wait_for(has_room)
            if self._messages == 0:
                self._moved_at = time.monotonic()
            self._messages += 1
            self._bytes += size

    def leave(self, size: int) -> None:
        """Remove a message of ``size`` bytes from the count."""
        with self._changed:
            self._messages -= 1
            self._bytes -= size
            self._moved_at = time.monotonic()
            self._changed.notify_all()

    def seconds_still(self) -> float:
        """Return the seconds since the last confirm, or 0 if no message is unconfirmed."""
        with self._changed:
            return time.monotonic() - self._moved_at if self._messages else 0.0

    def wait_empty(self, seconds: float) -> bool:
        """Wait until no message is unconfirmed. Return whether that happened in time."""
        with self._changed:
            return self._changed.wait_for(lambda: self._messages == 0, seconds)

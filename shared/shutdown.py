"""End a process after a signal, within one deadline that all of its parts share.

This module imports little, so that a service handles signals before it imports modules that take seconds to load.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from types import FrameType
from typing import Final

STOP_SECONDS: Final = 15.0
"""Default time from the stop to the end of the process, even if a part of it hangs; `Stop.allow` extends it."""
SERVE: Final = "serve"
"""The command that starts a service; every other command is one that a user runs."""

_log = logging.getLogger("service")


class Stop(threading.Event):
    """Set by a signal, or by a part that failed. From then on the process has a limited time.

    At the deadline the process exits: unacknowledged messages stay with the broker, unsent frames on the disk.
    """

    def __init__(self, seconds: float = STOP_SECONDS) -> None:
        super().__init__()
        self.exit_code = 1
        """Exit code at the deadline; 0 after a signal."""
        self._seconds = seconds
        self._lock = threading.Lock()
        self._leaving = threading.Thread(target=self._leave, name="deadline", daemon=True)

    def allow(self, seconds: float) -> None:
        """Give the shutdown at least this time, by default `STOP_SECONDS`. Call it before the stop is set."""
        self._seconds = max(self._seconds, seconds)

    def set(self) -> None:
        """Start the shutdown."""
        with self._lock:
            if not self.is_set():
                super().set()
                self._leaving.start()

    def _leave(self) -> None:
        time.sleep(self._seconds)
        _log.error("exited at the deadline: unfinished messages stay with the broker, unsent frames on the disk")
        os._exit(self.exit_code)


def exit_on_signal() -> None:
    """Exit a starting service at once on SIGTERM or SIGINT, until `stop_on_signal` takes over.

    Nothing has started yet, so nothing has to be finished. Other commands keep the default behaviour.
    """
    if sys.argv[1:] in ([], [SERVE]):
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda _number, _frame: os._exit(0))


def stop_on_signal() -> Stop:
    """Return a stop that SIGTERM or SIGINT sets; the second signal ends the process at once."""
    stop = Stop()

    def on_signal(number: int, _frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        stop.exit_code = 0
        # in a thread: the interrupted thread may hold the lock of the event
        threading.Thread(target=stop.set, name="stop").start()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    return stop

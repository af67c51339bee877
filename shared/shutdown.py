"""When and how a process ends: told by a signal, within one deadline that everything shares.

It imports little, so that a service can hear signals before it imports what takes seconds.
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
"""From the stop to the end of the process, whatever hangs."""
SERVE: Final = "serve"
"""What a service may be started with; every other word is a command of a person."""

_log = logging.getLogger("service")


class Stop(threading.Event):
    """Set by a signal, or by what can't go on. From then on the process has `STOP_SECONDS`, for everything together.

    At the deadline it leaves: what is not acknowledged stays with the broker, and what is not sent on the disk.
    """

    def __init__(self, seconds: float = STOP_SECONDS) -> None:
        super().__init__()
        self.exit_code = 1
        """Of a process that leaves at the deadline; 0 once a signal asked for the stop."""
        self._seconds = seconds
        self._lock = threading.Lock()
        self._leaving = threading.Thread(target=self._leave, name="deadline", daemon=True)

    def allow(self, seconds: float) -> None:
        """Let the end take so long, if that is longer: for a service whose settings say so."""
        self._seconds = max(self._seconds, seconds)

    def set(self) -> None:
        """Begin the end."""
        with self._lock:
            if not self.is_set():
                super().set()
                self._leaving.start()

    def _leave(self) -> None:
        time.sleep(self._seconds)
        _log.error("left at the deadline: what is not done stays with the broker, or on the disk")
        os._exit(self.exit_code)


def leave_when_told() -> None:
    """From now on, end a service at once when it is told to; `hear_signals` follows when there is something to finish.

    Nothing has begun, so nothing is left half done. Commands of people end as the system has it.
    """
    if sys.argv[1:] in ([], [SERVE]):
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda _number, _frame: os._exit(0))


def hear_signals() -> Stop:
    """A stop that SIGTERM or SIGINT sets; the second signal ends the process at once."""
    stop = Stop()

    def on_signal(number: int, _frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        stop.exit_code = 0
        # in a thread: the one that was interrupted may hold the event's lock
        threading.Thread(target=stop.set, name="stop").start()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    return stop

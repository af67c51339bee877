"""Child processes that end with this process, and are started again if they crash."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

CONFIGURATION_ERROR: Final = 2
"""Exit code of a service that can't work with its settings: starting it again would not help."""
MOST_RESTARTS: Final = 5
"""Most starts of a service within `RESTART_WINDOW_SECONDS`."""
RESTART_WINDOW_SECONDS: Final = 60.0
RESTART_PAUSES: Final = (0.0, 0.5, 1.0, 2.0, 4.0)
"""Seconds before a service is started again, by the number of its starts within the window."""
STOP_SECONDS: Final = 20.0


class ServiceFailed(RuntimeError):
    """A service can't continue; the message names the service, and has the last line of its log."""


@dataclass
class Service:
    """One service as a child process."""

    name: str
    environment: dict[str, str]
    log: Path
    may_finish: bool = False
    """Whether the service's work has an end: after exit code 0 it is then not started again."""
    inherited: Sequence[int] = ()
    """File descriptors that the service inherits."""
    process: subprocess.Popen[bytes] | None = None
    starts: deque[float] = field(default_factory=lambda: deque(maxlen=MOST_RESTARTS))
    ended_at: float | None = None

    def start(self) -> None:
        """Run ``python -m services.<name>`` with its output in the log."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.starts.append(time.monotonic())
        self.ended_at = None
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603 - our own interpreter, our own module
                [sys.executable, "-m", f"services.{self.name}"],
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=self.inherited,
                start_new_session=True,  # at Ctrl-C, this process stops the services in order
                preexec_fn=_end_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509 - no threads yet
            )

    @property
    def exit_code(self) -> int | None:
        """The exit code; None while the service runs."""
        return self.process.poll() if self.process else None

    def keep_alive(self) -> bool:
        """Start the service again, after a pause, if it ended before its work was done. Return whether it was started.

        Raises:
            ServiceFailed: the service has a wrong setting, or ends again and again.
        """
        code = self.exit_code
        if code is None or (code == 0 and self.may_finish):
            return False
        if code == CONFIGURATION_ERROR:
            raise ServiceFailed(f"{self.name}: {self.last_log_line()}")
        now = time.monotonic()
        recent = sum(now - start < RESTART_WINDOW_SECONDS for start in self.starts)
        if recent == MOST_RESTARTS:
            raise ServiceFailed(
                f"{self.name} ended {MOST_RESTARTS} times in a minute: {self.last_log_line()} (see {self.log})"
            )
        self.ended_at = self.ended_at or now
        if now - self.ended_at < RESTART_PAUSES[max(0, recent - 1)]:
            return False
        self.start()
        return True

    def last_log_line(self) -> str:
        """Return the last line of the service's log."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1] if lines else "without a word"

    def stop(self) -> None:
        """Send SIGTERM, and wait until the service has ended; after `STOP_SECONDS`, kill it."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def _end_with_parent() -> None:
    """Linux: let the kernel end this process when its parent has ended, for whatever reason."""
    parent_death_signal = 1
    ctypes.CDLL(None).prctl(parent_death_signal, signal.SIGTERM)

"""Child processes that live and end with this one, and are started again when they crash."""

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
"""A service's exit code when it was given something it can't work with: starting it again would not help."""
RESTARTS: Final = 5
RESTART_WINDOW_SECONDS: Final = 60.0
PAUSES: Final = (0.0, 0.5, 1.0, 2.0, 4.0)
"""Seconds before a service is started again, by how often it was within the window."""
STOP_SECONDS: Final = 20.0


class ServiceFailed(RuntimeError):
    """A service can't go on; the message says which, and its own last words."""


@dataclass
class Service:
    """One service as a child process."""

    name: str
    environment: dict[str, str]
    log: Path
    may_finish: bool = False
    """Whether its work has an end: exit code 0 is then no reason to start it again."""
    inherited: Sequence[int] = ()
    """Descriptors that it inherits."""
    process: subprocess.Popen[bytes] | None = None
    starts: deque[float] = field(default_factory=lambda: deque(maxlen=RESTARTS))
    ended_at: float | None = None

    def start(self) -> None:
        """Run ``python -m services.<name>``, its output into the log."""
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
                start_new_session=True,  # Ctrl-C in the terminal is ours to pass on, in the order of the flow
                preexec_fn=_end_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509 - no threads yet
            )

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self.process.poll() if self.process else None

    def keep_alive(self) -> bool:
        """Start it again, after a pause, if it ended before its work did. Returns whether it was started.

        Raises:
            ServiceFailed: it was told something wrong, or ends again and again.
        """
        code = self.exit_code
        if code is None or (code == 0 and self.may_finish):
            return False
        if code == CONFIGURATION_ERROR:
            raise ServiceFailed(f"{self.name}: {self.last_words()}")
        now = time.monotonic()
        recent = sum(now - start < RESTART_WINDOW_SECONDS for start in self.starts)
        if recent == RESTARTS:
            raise ServiceFailed(f"{self.name} ended {RESTARTS} times in a minute: {self.last_words()} (see {self.log})")
        self.ended_at = self.ended_at or now
        if now - self.ended_at < PAUSES[max(0, recent - 1)]:
            return False
        self.start()
        return True

    def last_words(self) -> str:
        """The last line of its log."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1] if lines else "without a word"

    def stop(self) -> None:
        """Ask it to finish what it has in hand, and wait; after `STOP_SECONDS` end it."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def _end_with_parent() -> None:
    """Linux: the kernel ends this process when its parent is gone, however that went."""
    parent_death_signal = 1
    ctypes.CDLL(None).prctl(parent_death_signal, signal.SIGTERM)

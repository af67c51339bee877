"""Check the file of the lines when it is saved while the gateway runs, which uses it from its next start on."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Final

import structlog

from services.gateway.check import CHECK_SECONDS, check_outputs
from services.gateway.lines import LinesFile, read_lines
from shared.errors import CannotStart
from shared.health import Health

LOOK_SECONDS: Final = 2.0
"""Seconds between two looks at the file."""
LONGEST_LOOK: Final = CHECK_SECONDS + 30
"""Most seconds of one look."""

_log = structlog.stdlib.get_logger("gateway")


class LinesFileWatch:
    """Logs what is wrong with a file that was saved: a value, or an output that can't be reached."""

    def __init__(self, file: Path | None, in_force: LinesFile) -> None:
        """Note the file as it is; ``in_force`` has the settings of the gateway that runs."""
        self._file = file
        self._in_force = in_force
        self._seen = self._checked = self._stamp()

    def run(self, stop: threading.Event, health: Health) -> None:
        """Look at the file again and again until ``stop`` is set."""
        while not stop.wait(LOOK_SECONDS):
            health.beat()
            self.look()

    def look(self) -> None:
        """Check the file if it was saved since the last check, unless it has just changed and may not be whole."""
        seen, self._seen = self._seen, self._stamp()
        if self._seen is None or self._seen == self._checked or self._seen != seen:
            return
        self._checked = self._seen
        try:
            lines = read_lines(self._file)
        except CannotStart as error:
            _log.error("the file of the lines was saved with a wrong value: correct it", reason=str(error))
            return
        failed = [each for each in check_outputs(lines, self._in_force) if each.failure]
        for each in failed:
            _log.error("an output in the file that was saved can't be reached", output=each.name, reason=each.failure)
        _log.info("the file of the lines was saved: start the gateway again to use it", unreachable=len(failed))

    def _stamp(self) -> tuple[int, int, int] | None:
        """Return what changes when the file is saved; None if there is no file."""
        try:
            found = self._file.stat() if self._file else None
        except OSError:
            return None
        return (found.st_mtime_ns, found.st_size, found.st_ino) if found else None

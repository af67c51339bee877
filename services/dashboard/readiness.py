"""Whether the dashboard can do its work: what it needs, asked one by one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotInTime
from typing import Final

from pydantic import BaseModel, Field

PATIENCE: Final = 3.0
"""Seconds for all checks together."""
FRESH_SECONDS: Final = 2.0
"""An answer is given again for so long: whoever asks often costs nothing."""


class Ready(BaseModel):
    """What is there and what is away."""

    ready: bool
    checks: dict[str, str] = Field(
        description="by name: ok, or what is wrong",
        examples=[{"broker": "ok", "redis": "ok", "storage": "ok", "counts": "ok", "intake": "ok"}],
    )


class Readiness:
    """Asks every check at once; a check raises, or returns in words what is wrong."""

    def __init__(self, checks: Mapping[str, Callable[[], object]]) -> None:
        self._checks = checks
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(len(checks), thread_name_prefix="readiness")
        self._last: tuple[float, Ready] | None = None

    def look(self) -> Ready:
        """What is there right now."""
        with self._lock:
            if self._last is None or time.monotonic() - self._last[0] > FRESH_SECONDS:
                self._last = time.monotonic(), self._ask()
            return self._last[1]

    def _ask(self) -> Ready:
        deadline = time.monotonic() + PATIENCE
        running = {name: self._pool.submit(check) for name, check in self._checks.items()}
        checks = {}
        for name, answer in running.items():
            try:
                found = answer.result(max(0.0, deadline - time.monotonic()))
                checks[name] = found if isinstance(found, str) else "ok"
            except NotInTime:
                checks[name] = f"no answer within {PATIENCE:.0f} s"
            except Exception as error:  # noqa: BLE001  whatever it is, it is the answer
                checks[name] = str(error) or type(error).__name__
        return Ready(ready=all(answer == "ok" for answer in checks.values()), checks=checks)

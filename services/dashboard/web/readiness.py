"""Check in background threads, again and again, whether the servers that the dashboard needs are available."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from prometheus_client import Gauge
from pydantic import BaseModel, Field

OVERDUE_SECONDS: Final = 1.2
"""A check without a result after this time has failed. The time is shorter than the time limit of a request."""
NOT_CHECKED: Final = "not checked yet"

AWAY: Final = Gauge("dashboard_server_away", "1 while a server that the dashboard needs is away", ["server"])


class Ready(BaseModel):
    """Whether the dashboard is ready, and the result of each check."""

    ready: bool
    checks: dict[str, str] = Field(
        description="by the name of the check: ok, or what is wrong",
        examples=[{"broker": "ok", "redis": "ok", "storage": "ok", "counts": "ok", "ingest": "ok"}],
    )


@dataclass(frozen=True)
class Check:
    """A check of something that the dashboard needs."""

    run: Callable[[], object]
    """Raises an error or returns a text if something is wrong; any other result means success."""
    every_seconds: float = 1.0
    consequence: str | None = None
    """If the check is of a server: a sentence that says what does not work while the server is away."""
    notice: str | None = None
    """If the check is of something else: a sentence for every page while the check fails and all servers are there."""


class Readiness:
    """Runs each check in its own thread, so that a check that hangs delays no other check and no request."""

    def __init__(self, checks: Mapping[str, Check]) -> None:
        self._checks = checks
        self._results = dict.fromkeys(checks, NOT_CHECKED)
        self._started_at: dict[str, float] = {}
        """When each running check was started, in seconds of the steady clock."""
        self._stop = threading.Event()
        for name, check in checks.items():
            if check.consequence:
                AWAY.labels(name).set_function(partial(self._is_away, name))

    def start(self) -> None:
        """Start the checks, and wait for their first results, `OVERDUE_SECONDS` at most."""
        first = [threading.Event() for _ in self._checks]
        for (name, check), finished in zip(self._checks.items(), first, strict=True):
            threading.Thread(target=self._run, args=(name, check, finished), name=f"check {name}", daemon=True).start()
        until = time.monotonic() + OVERDUE_SECONDS
        for finished in first:
            finished.wait(max(0.0, until - time.monotonic()))

    def close(self) -> None:
        """End the checks, without waiting for running ones."""
        self._stop.set()

    def current(self) -> Ready:
        """Return the last results without a new check."""
        checks = {name: self._result(name) for name in self._checks}
        return Ready(ready=all(result == "ok" for result in checks.values()), checks=checks)

    def reason(self, name: str) -> str | None:
        """Return the reason why a server counts as away; None if it does not."""
        result = self._result(name)
        return None if result in ("ok", NOT_CHECKED) else result

    def away(self) -> list[str]:
        """Return a sentence for each server that is away, which says what does not work without it."""
        return [check.consequence for name, check in self._checks.items() if check.consequence and self.reason(name)]

    def notices(self) -> list[str]:
        """Return the sentences for every page: of the servers that are away, or else of other checks that fail."""
        return self.away() or [each.notice for name, each in self._checks.items() if each.notice and self.reason(name)]

    def _is_away(self, name: str) -> float:
        return float(self.reason(name) is not None)

    def _result(self, name: str) -> str:
        waited = time.monotonic() - self._started_at.get(name, time.monotonic())
        return f"no answer for {waited:.0f} s" if waited > OVERDUE_SECONDS else self._results[name]

    def _run(self, name: str, check: Check, finished: threading.Event) -> None:
        while not self._stop.is_set():
            self._started_at[name] = time.monotonic()
            try:
                result = check.run()
                self._results[name] = result if isinstance(result, str) else "ok"
            except Exception as error:  # noqa: BLE001  the error is the result
                self._results[name] = str(error) or type(error).__name__
            del self._started_at[name]
            finished.set()
            self._stop.wait(check.every_seconds)

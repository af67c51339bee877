"""Whether the dashboard can do its work: each thing that it needs is asked again and again, away from any request."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel, Field

OVERDUE_SECONDS: Final = 1.2
"""What has not answered for so long counts as away; shorter than the deadline of a request."""


class Ready(BaseModel):
    """What is there and what is away."""

    ready: bool
    checks: dict[str, str] = Field(
        description="by name: ok, or what is wrong",
        examples=[{"broker": "ok", "redis": "ok", "storage": "ok", "counts": "ok", "intake": "ok"}],
    )


@dataclass(frozen=True)
class Check:
    """How one thing is asked."""

    ask: Callable[[], object]
    """Raises, or returns in words what is wrong; anything but a text is fine."""
    every_seconds: float = 1.0
    means: str | None = None
    """Of a server: what people miss while it is away."""


class Readiness:
    """Asks every check in a thread of its own, so that one that hangs delays no other, and no request."""

    def __init__(self, checks: Mapping[str, Check]) -> None:
        self._checks = checks
        self._answers = dict.fromkeys(checks, "not asked yet")
        self._asked_at: dict[str, float] = {}
        """Of the checks under way: since when."""
        self._stop = threading.Event()

    def start(self) -> None:
        """Begin asking; the first answers are waited for, as long as one may take."""
        first = [threading.Event() for _ in self._checks]
        for (name, check), answered in zip(self._checks.items(), first, strict=True):
            threading.Thread(target=self._run, args=(name, check, answered), name=f"check {name}", daemon=True).start()
        until = time.monotonic() + OVERDUE_SECONDS
        for answered in first:
            answered.wait(max(0.0, until - time.monotonic()))

    def close(self) -> None:
        """Ask no more. A check that hangs is not waited for."""
        self._stop.set()

    def look(self) -> Ready:
        """What is there right now; never waits."""
        checks = {name: self._answer(name) for name in self._checks}
        return Ready(ready=all(answer == "ok" for answer in checks.values()), checks=checks)

    def reason(self, name: str) -> str | None:
        """Why a server counts as away; None while it does not."""
        answer = self._answer(name)
        return None if answer in ("ok", "not asked yet") else answer

    def away(self) -> list[str]:
        """What people miss right now, a sentence for each server that is away."""
        return [check.means for name, check in self._checks.items() if check.means and self.reason(name)]

    def _answer(self, name: str) -> str:
        waited = time.monotonic() - self._asked_at.get(name, time.monotonic())
        return f"no answer for {waited:.0f} s" if waited > OVERDUE_SECONDS else self._answers[name]

    def _run(self, name: str, check: Check, answered: threading.Event) -> None:
        while not self._stop.is_set():
            self._asked_at[name] = time.monotonic()
            try:
                found = check.ask()
                self._answers[name] = found if isinstance(found, str) else "ok"
            except Exception as error:  # noqa: BLE001  whatever it is, it is the answer
                self._answers[name] = str(error) or type(error).__name__
            del self._asked_at[name]
            answered.set()
            self._stop.wait(check.every_seconds)

"""The table that the terminal shows while the line runs."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Collection, Sequence

from rich.console import Group
from rich.table import Table
from rich.text import Text

from deploy.embedded.line import Accounting
from services.dashboard.settings import DashboardSettings

WINDOW_SECONDS = 5.0


class View:
    """A table of the line's counts, their rates over the last seconds, and the defect rate of each label."""

    def __init__(
        self, address: str, hints: Sequence[str], qualities: Collection[str], modbus_port: int | None = None
    ) -> None:
        """``qualities`` are the labels whose absence makes a part NG."""
        self._gate = f"   Modbus TCP 127.0.0.1:{modbus_port}" if modbus_port else ""
        self._address = address
        self._hints = hints
        self._qualities = qualities
        self._past: deque[tuple[float, Accounting]] = deque()

    def draw(self, accounting: Accounting) -> Group:
        """Return the table of the present moment."""
        now = time.monotonic()
        self._past.append((now, accounting))
        while now - self._past[0][0] > WINDOW_SECONDS:
            self._past.popleft()
        counts = Table(title="Seamline", title_justify="left", title_style="bold", min_width=44)
        for heading in ("", "frames", "per second"):
            counts.add_column(heading, justify="right" if heading else "left")
        for name in ("captured", "inspected", "flagged", "explained", *(["parts"] if self._gate else [])):
            counts.add_row(name, f"{getattr(accounting, name):,}", f"{self._per_second(name, now):,.1f}")
        for name in ("dropped", "unreadable", "parked", "in_flight"):
            counts.add_row(name.replace("_", " "), f"{getattr(accounting, name):,}", "", style="dim")
        return Group(
            counts,
            self._rates(accounting),
            Text(f"Dashboard {self._address}{self._gate}   Model {accounting.model_version or '…'}"),
            *(Text(hint, style="dim") for hint in self._hints),
        )

    def _rates(self, accounting: Accounting) -> Table:
        table = Table(min_width=44)
        table.add_column("defect rate", justify="left")
        table.add_column("of inspected frames", justify="right")
        for label, rate in (accounting.defect_rates or {}).items():
            table.add_row(f"not {label}" if label in self._qualities else label, f"{rate:.2%}")
        return table

    def _per_second(self, name: str, now: float) -> float:
        then, accounting = self._past[0]
        return (getattr(self._past[-1][1], name) - getattr(accounting, name)) / (now - then) if now > then else 0.0


def access_of(settings: DashboardSettings) -> str:
    """Return a sentence that says who can open the dashboard."""
    machines = "this machine alone" if settings.loopback else "other machines too"
    login = "people log in; the first is admin" if settings.login else "without a login"
    return f"Reachable from {machines}, {login}"

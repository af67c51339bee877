"""What is measured while the line runs: its counts, each process's health and resources, the pages' answers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import httpx
import psutil

from tests.soak.line import LINE, Line, Part, healthy

LOOK_SECONDS = 1.0
RESOURCES_SECONDS = 5.0
WINDOW_SECONDS = 4.0
"""The line is at its pace when it was for so long."""
SLACK = 0.7
"""Share of the pace that counts as the pace: frames come in batches."""
BACKLOG_SECONDS = 3.0
"""Frames in flight for up to this time are not a backlog."""
FLAGGED = 0.07
"""Share of the frames that the model flags."""
RECOVERY_SECONDS = 120.0
"""How long the line may take to be whole after a fault."""
PATIENCE_SECONDS = 5.0
"""How long a page's answer is waited for."""


@dataclass(frozen=True)
class Look:
    """The line as the dashboards count it, at one moment."""

    began: float
    at: float
    inspected: int
    captured: int
    in_flight: int
    unexplained: int
    """Flagged frames that the explainer did not answer yet."""
    dashboards: int
    """that answered"""
    unready: tuple[str, ...]
    """What the dashboards say that they lack."""
    unwell: tuple[str, ...]
    """Processes that are not healthy."""


@dataclass(frozen=True)
class Answer:
    """How long a dashboard took to answer, and with which status; 0: not within the patience."""

    at: float
    seconds: float
    status: int


@dataclass(frozen=True)
class Resources:
    """What a process holds."""

    at: float
    age: float
    """seconds since its start"""
    memory: float
    """MB, resident"""
    threads: int
    descriptors: int
    files: int
    """in its temporary folder"""


@dataclass
class Watch:
    """Looks at the line in a thread of its own until it is stopped."""

    line: Line
    pace: float = 0.0
    looks: list[Look] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    resources: dict[tuple[str, int], list[Resources]] = field(default_factory=dict)
    """By process and its how-manieth start."""

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._began = time.monotonic()
        self._most_inspected = 0
        self.hindrance = ""
        """What kept the line from being whole when it was last asked for."""
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._thread.start()

    def now(self) -> float:
        """Seconds since the watch began."""
        return time.monotonic() - self._began

    def close(self) -> None:
        self._stop.set()
        self._thread.join(60)

    def until(self, happened: Callable[[], bool], seconds: float) -> bool:
        """Wait for a fact; whether it came true in time."""
        deadline = self.now() + seconds
        while not happened():
            if self.now() > deadline:
                return False
            time.sleep(0.2)
        return True

    def recovered(self, since: float) -> bool:
        """Whether the line has been seen whole since then: healthy, nothing forgotten, at its pace, no backlog."""
        if not self.looks or self.looks[-1].began < since + LOOK_SECONDS:
            return False
        if hindrance := self._hindrance(self.looks[-1]):
            self.hindrance = hindrance
        return not hindrance

    def settled(self) -> bool:
        """Whether every frame is accounted for and every flagged one answered, as the dashboards count."""
        last = self.looks[-1]
        return last.dashboards == len(self.line.addresses()) and last.in_flight == 0 == last.unexplained

    def state(self) -> str:
        """The last look, for people."""
        return str(self.looks[-1]) if self.looks else "nothing was seen"

    def _hindrance(self, last: Look) -> str:
        """What keeps the line from being whole; empty when nothing does."""
        under_way, flagged = max(5.0, BACKLOG_SECONDS * self.pace), max(3.0, BACKLOG_SECONDS * self.pace * FLAGGED)
        checks = {
            f"{', '.join(last.unwell)} not healthy": last.unwell,
            f"{last.dashboards} dashboards answer": last.dashboards < len(self.line.addresses()),
            f"a dashboard is not ready: {', '.join(last.unready)}": last.unready,
            f"{last.inspected} of {self._most_inspected} frames are counted": last.inspected < self._most_inspected,
            f"{last.in_flight} frames in flight": last.in_flight > under_way,
            f"{last.unexplained} frames without heatmaps": last.unexplained > flagged,
            "frames are not inspected at the pace": not self._at_pace(last),
        }
        return next((what for what, hinders in checks.items() if hinders), "")

    def _at_pace(self, last: Look) -> bool:
        before = [look for look in self.looks[-30:] if look.at <= last.at - WINDOW_SECONDS]
        if not before:
            return False
        seconds = last.at - before[-1].at
        return last.inspected - before[-1].inspected >= SLACK * self.pace * seconds

    def _run(self) -> None:
        with httpx.Client(timeout=PATIENCE_SECONDS, trust_env=False) as client:
            measured = 0.0
            while not self._stop.wait(LOOK_SECONDS):
                look = self._look(client)
                self._most_inspected = max(self._most_inspected, look.inspected)
                self.looks.append(look)
                if self.now() - measured >= RESOURCES_SECONDS:
                    measured = self.now()
                    for part in list(self.line.parts.values()):
                        self._measure(part)

    def _look(self, client: httpx.Client) -> Look:
        began = self.now()
        counts = [found for address in self.line.addresses() if (found := self._ask(client, address))]
        best = max(counts, key=lambda found: found["inspected"], default={})
        return Look(
            began=began,
            at=self.now(),
            inspected=min((found["inspected"] for found in counts), default=0),
            captured=best.get("captured", 0),
            in_flight=best.get("in_flight", 0),
            unexplained=best.get("flagged", 0) - best.get("explained", 0) - best.get("unexplained", 0),
            dashboards=len(counts),
            unready=tuple(lack for address in self.line.addresses() if (lack := _lack(client, address))),
            unwell=tuple(
                part.name for part in self.line.parts.values() if self.line.expects(part) and not healthy(part)
            ),
        )

    def _ask(self, client: httpx.Client, address: str) -> dict[str, int] | None:
        began = self.now()
        try:
            answer = client.get(f"{address}/api/lines/{LINE}/accounting")
        except httpx.TimeoutException:
            self.answers.append(Answer(began, self.now() - began, 0))
            return None
        except httpx.HTTPError:
            return None  # the process is being started again
        self.answers.append(Answer(began, self.now() - began, answer.status_code))
        found: dict[str, int] | None = answer.json() if answer.status_code == httpx.codes.OK else None
        return found

    def _measure(self, part: Part) -> None:
        with suppress(psutil.Error, OSError):
            process = psutil.Process(part.server.pid)
            with process.oneshot():
                memory, threads, descriptors = process.memory_info().rss, process.num_threads(), process.num_fds()
            files = sum(1 for _ in (part.folder / "tmp").rglob("*"))
            age = time.monotonic() - part.started
            found = Resources(self.now(), age, round(memory / 1e6, 1), threads, descriptors, files)
            self.resources.setdefault((part.name, part.starts), []).append(found)


def _lack(client: httpx.Client, address: str) -> str:
    """What a dashboard says that it lacks; empty when it is ready, or does not answer."""
    try:
        answer = client.get(f"{address}/readyz")
    except httpx.HTTPError:
        return ""
    return "" if answer.status_code == httpx.codes.OK else answer.text[:200]

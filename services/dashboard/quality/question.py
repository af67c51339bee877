"""What is asked about quality: of what, over which time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from services.dashboard.statistics.windows import Every
from services.dashboard.web.problems import Problem
from services.dashboard.web.times import EARLIEST, LATEST

LONGEST: Final = timedelta(days=20 * 365)


class LimitsFrom(StrEnum):
    """Which frames the control limits are made of."""

    WINDOW = "window"
    """Those that are shown."""
    BEFORE = "before"
    """Those of a window as long, just before: what the process did until then."""


@dataclass(frozen=True)
class Question:
    """Of which frames, over which time, and how it is to be told."""

    first: datetime
    last: datetime
    every: Every | None
    """length of a point; None: as it suits"""
    line: str | None = None
    part: str = ""
    """``camera=…``, ``batch=…`` or ``model=…``; empty: the whole line"""
    shift: int | None = None
    label: str | None = None
    limits: LimitsFrom = LimitsFrom.WINDOW

    def over(self, first: datetime, last: datetime) -> Question:
        """The same about another time."""
        return replace(self, first=first, last=last)


def part_of(camera: str | None, batch: str | None, model: str | None) -> str:
    """The slice of a line that is asked for.

    Raises:
        Problem: 422: more than one.
    """
    asked = {"camera": camera, "batch": batch, "model": model}
    given = [f"{kind}={name}" for kind, name in asked.items() if name]
    if len(given) > 1:
        raise Problem(422, "camera, batch, model: give one of them; frames are not counted by two at once")
    return given[0] if given else ""


def check(every: Every | None, shift: int | None, first: datetime, last: datetime) -> None:
    """Say whether a time and its points go together.

    Raises:
        Problem: 422: they do not.
    """
    if first >= last:
        raise Problem(422, "from: give a time before `to`")
    if first < EARLIEST or last > LATEST or last - first > LONGEST:
        years = f"{LONGEST.days // 365} years, from {EARLIEST.year} to {LATEST.year}"
        raise Problem(422, f"from, to: at most {years}")
    if shift is not None and every not in (None, Every.SHIFT):
        raise Problem(422, "every: points are shifts when one shift of the day is asked for")

"""Stretches of time, and the buckets that hold their counts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from services.dashboard.statistics.shifts import Shifts
from services.dashboard.statistics.steps import Step

DAY: Final = timedelta(days=1)


class Every(StrEnum):
    """How long each point of a chart is."""

    MINUTE = "minute"
    HOUR = "hour"
    SHIFT = "shift"
    DAY = "day"
    WEEK = "week"


LONGEST: Final = {
    Every.MINUTE: timedelta(hours=2),
    Every.HOUR: timedelta(days=5),
    Every.SHIFT: timedelta(days=35),
    Every.DAY: timedelta(days=200),
}
"""Up to which window a point is chosen to be so short: a hundred points or so can be read."""


@dataclass(frozen=True)
class Span:
    """One point: from when to when (UTC), and the buckets in it by the names of `services.dashboard.store.counting`."""

    start: datetime
    end: datetime
    step: str
    buckets: tuple[datetime, ...]


def fitting(first: datetime, last: datetime) -> Every:
    """The length of a point that suits a window."""
    return next((every for every, longest in LONGEST.items() if last - first <= longest), Every.WEEK)


def spans(every: Every, first: datetime, last: datetime, shifts: Shifts) -> list[Span]:
    """The points that hold any moment from ``first`` to just before ``last``."""
    found = []
    start = _start(every, first, shifts)
    while start < last:
        end = shifts.after(start) if every is Every.SHIFT else start + _length(every)
        found.append(_span(every, start, end))
        start = end
    return found


def _start(every: Every, moment: datetime, shifts: Shifts) -> datetime:
    match every:
        case Every.SHIFT:
            return shifts.start(moment)
        case Every.WEEK:
            day = Step.DAY.start(moment)
            return day - day.weekday() * DAY
        case _:
            return Step(every.value).start(moment)


def _length(every: Every) -> timedelta:
    return 7 * DAY if every is Every.WEEK else Step(every.value).length


def _span(every: Every, start: datetime, end: datetime) -> Span:
    if every is Every.WEEK:
        return Span(start, end, "day", tuple(start + offset * DAY for offset in range(7)))
    return Span(start, end, every.value, (start,))

"""The points of a chart, and the buckets that hold their counts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from services.dashboard.statistics.buckets import BucketLength, starts_between
from shared.shifts import Shifts

DAY: Final = timedelta(days=1)


class Subgroup(StrEnum):
    """The length of each point of a chart."""

    MINUTE = "minute"
    HOUR = "hour"
    SHIFT = "shift"
    DAY = "day"
    WEEK = "week"


LONGEST: Final = {
    Subgroup.MINUTE: timedelta(hours=2),
    Subgroup.HOUR: timedelta(days=5),
    Subgroup.SHIFT: timedelta(days=35),
    Subgroup.DAY: timedelta(days=200),
}
"""The longest window with points of each length: a chart has about a hundred points."""


@dataclass(frozen=True)
class Span:
    """A point: its start and end (UTC), and the starts of its buckets, whose length is ``step``."""

    start: datetime
    end: datetime
    step: str
    buckets: tuple[datetime, ...]


def fitting(first: datetime, last: datetime) -> Subgroup:
    """Return the length of the points that suits a window."""
    return next((subgroup for subgroup, longest in LONGEST.items() if last - first <= longest), Subgroup.WEEK)


def spans(subgroup: Subgroup, first: datetime, last: datetime, shifts: Shifts) -> list[Span]:
    """Return the points that contain any time from ``first`` to just before ``last``."""
    found = []
    match subgroup:
        case Subgroup.SHIFT:
            start = shifts.start(first)
            while start < last:
                end = shifts.after(start)
                found.append(Span(start, end, subgroup.value, (start,)))
                start = end
        case Subgroup.WEEK:
            day = BucketLength.DAY.start(first)
            start = day - day.weekday() * DAY
            while start < last:
                days = tuple(start + offset * DAY for offset in range(7))
                found.append(Span(start, start + 7 * DAY, BucketLength.DAY.value, days))
                start += 7 * DAY
        case _:
            step = BucketLength(subgroup.value)
            for start in starts_between(step, first, last):
                found.append(Span(start, start + step.length, step.value, (start,)))
    return found

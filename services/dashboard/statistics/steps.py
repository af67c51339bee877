"""The buckets of time in which frames are counted: minutes, hours and days in UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final


class Step(StrEnum):
    """How long a bucket is."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"

    @property
    def length(self) -> timedelta:
        """From the start of one bucket to the start of the next."""
        return {Step.MINUTE: timedelta(minutes=1), Step.HOUR: timedelta(hours=1), Step.DAY: timedelta(days=1)}[self]

    def start(self, moment: datetime) -> datetime:
        """The start, in UTC, of the bucket that a moment falls into."""
        moment = moment.astimezone(UTC)
        match self:
            case Step.MINUTE:
                return moment.replace(second=0, microsecond=0)
            case Step.HOUR:
                return moment.replace(minute=0, second=0, microsecond=0)
            case Step.DAY:
                return moment.replace(hour=0, minute=0, second=0, microsecond=0)

    def stamp(self, start: datetime) -> str:
        """The bucket's name in a key: ``2026-01-31``, ``2026-01-31T23`` or ``2026-01-31T2359``."""
        return start.strftime(STAMPS[self.value])


STAMPS: Final = {"minute": "%Y-%m-%dT%H%M", "hour": "%Y-%m-%dT%H", "shift": "%Y-%m-%dT%H%M", "day": "%Y-%m-%d"}
"""Of a bucket's beginning (UTC), in its key."""


def starts_between(step: Step, first: datetime, last: datetime) -> list[datetime]:
    """The starts of the buckets that hold any moment from ``first`` to just before ``last``."""
    starts = []
    start = step.start(first)
    while start < last:
        starts.append(start)
        start += step.length
    return starts

"""The buckets of time in which frames are counted: minutes, hours and days in UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final


class BucketLength(StrEnum):
    """The length of a bucket."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"

    @property
    def length(self) -> timedelta:
        """Return the time from the start of one bucket to the start of the next."""
        return {
            BucketLength.MINUTE: timedelta(minutes=1),
            BucketLength.HOUR: timedelta(hours=1),
            BucketLength.DAY: timedelta(days=1),
        }[self]

    def start(self, moment: datetime) -> datetime:
        """Return the start (UTC) of the bucket that contains a time."""
        moment = moment.astimezone(UTC)
        match self:
            case BucketLength.MINUTE:
                return moment.replace(second=0, microsecond=0)
            case BucketLength.HOUR:
                return moment.replace(minute=0, second=0, microsecond=0)
            case BucketLength.DAY:
                return moment.replace(hour=0, minute=0, second=0, microsecond=0)

    def stamp(self, start: datetime) -> str:
        """Return the start as it is in a key: ``2026-01-31``, ``2026-01-31T23`` or ``2026-01-31T2359``."""
        return start.strftime(STAMPS[self.value])


STAMPS: Final = {"minute": "%Y-%m-%dT%H%M", "hour": "%Y-%m-%dT%H", "shift": "%Y-%m-%dT%H%M", "day": "%Y-%m-%d"}
"""Formats of a bucket's start (UTC) in its key."""


def starts_between(step: BucketLength, first: datetime, last: datetime) -> list[datetime]:
    """Return the starts of the buckets that contain any time from ``first`` to just before ``last``."""
    starts = []
    start = step.start(first)
    while start < last:
        starts.append(start)
        start += step.length
    return starts

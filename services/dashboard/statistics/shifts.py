"""The times at which the shifts of a day begin, on the plant's clock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError


@dataclass(frozen=True)
class Shifts:
    """The times at which shifts begin, every day. The last shift lasts until the first of the next day."""

    begin: tuple[time, ...]
    zone: ZoneInfo

    @classmethod
    def parse(cls, begin: str, zone: str) -> Shifts:
        """Read ``06:00,14:00,22:00`` and the name of a time zone.

        Raises:
            ValueError: one of them is invalid; the message says what to write.
        """
        try:
            times = tuple(sorted({time.fromisoformat(part.strip()) for part in begin.split(",")}))
        except ValueError:
            raise ValueError(
                "DASHBOARD_SHIFTS takes the times when shifts begin, with commas: 06:00,14:00,22:00"
            ) from None
        if any(at.tzinfo for at in times):
            raise ValueError("DASHBOARD_SHIFTS takes times without a zone: set DASHBOARD_TIME_ZONE")
        try:
            return cls(times, ZoneInfo(zone))
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError("DASHBOARD_TIME_ZONE takes a name such as Europe/Berlin, or UTC") from None

    def start(self, moment: datetime) -> datetime:
        """Return the start (UTC) of the shift that contains a time."""
        today = moment.astimezone(self.zone).date()
        return max(at for at in self._around(today) if at <= moment)

    def after(self, start: datetime) -> datetime:
        """Return the start (UTC) of the shift after the one that begins at ``start``."""
        return min(at for at in self._around(start.astimezone(self.zone).date()) if at > start)

    def number(self, start: datetime) -> int:
        """Return the number of the shift that begins at ``start``, from 1."""
        local = start.astimezone(self.zone).time()
        return sum(at <= local for at in self.begin) or len(self.begin)

    def yesterday(self, now: datetime) -> tuple[datetime, datetime]:
        """Return the start and the end (excluded) of the last whole day, on the plant's clock."""
        today = now.astimezone(self.zone).replace(hour=0, minute=0, second=0, microsecond=0)
        start = today.replace(tzinfo=None) - timedelta(days=1)  # of another length where the clock changes
        return start.replace(tzinfo=self.zone), today

    def _around(self, day: date) -> list[datetime]:
        """Return the starts around a day, in UTC: the plant's clock repeats an hour in autumn."""
        days = [day + timedelta(days=offset) for offset in (-1, 0, 1, 2)]
        return [datetime.combine(each, at, self.zone).astimezone(UTC) for each in days for at in self.begin]

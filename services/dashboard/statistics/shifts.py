"""Shifts: the parts of a working day, on the clock of the plant."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError


@dataclass(frozen=True)
class Shifts:
    """When shifts begin, every day. The last one lasts until the first of the next day, so none is ever missing."""

    begin: tuple[time, ...]
    zone: ZoneInfo

    @classmethod
    def parse(cls, begin: str, zone: str) -> Shifts:
        """From ``06:00,14:00,22:00`` and the name of a time zone.

        Raises:
            ValueError: one of them can't be read; the message says what to write.
        """
        try:
            times = tuple(sorted({time.fromisoformat(part.strip()) for part in begin.split(",")}))
        except ValueError:
            raise ValueError("DASHBOARD_SHIFTS is when shifts begin, with commas: 06:00,14:00,22:00") from None
        if any(at.tzinfo for at in times):
            raise ValueError("DASHBOARD_SHIFTS has times without a zone: DASHBOARD_TIME_ZONE says which it is")
        try:
            return cls(times, ZoneInfo(zone))
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError("DASHBOARD_TIME_ZONE is a name such as Europe/Berlin, or UTC") from None

    def start(self, moment: datetime) -> datetime:
        """The beginning (UTC) of the shift that a moment falls into."""
        today = moment.astimezone(self.zone).date()
        return max(at for at in self._around(today) if at <= moment)

    def after(self, start: datetime) -> datetime:
        """The beginning (UTC) of the shift after the one that begins at ``start``."""
        return min(at for at in self._around(start.astimezone(self.zone).date()) if at > start)

    def number(self, start: datetime) -> int:
        """Which shift of the day begins at ``start``, from 1."""
        local = start.astimezone(self.zone).time()
        return sum(at <= local for at in self.begin) or len(self.begin)

    def _around(self, day: date) -> list[datetime]:
        """From yesterday to the day after tomorrow; compared in UTC, for wall clocks repeat an hour in autumn."""
        days = [day + timedelta(days=offset) for offset in (-1, 0, 1, 2)]
        return [datetime.combine(each, at, self.zone).astimezone(UTC) for each in days for at in self.begin]

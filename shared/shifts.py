"""The times at which the shifts of a day begin, on the plant's clock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError


@dataclass(frozen=True)
class Shifts:
    """The times at which shifts begin each day. The last shift of a day ends when the first of the next day begins."""

    begin_times: tuple[time, ...]
    zone: ZoneInfo

    @classmethod
    def parse(cls, begin: str, zone: str, service: str = "DASHBOARD") -> Shifts:
        """Read ``06:00,14:00,22:00`` and the name of a time zone; ``service`` is the prefix of the settings.

        Raises:
            ValueError: a time or the time zone is invalid; the message says what to write.
        """
        try:
            times = tuple(sorted({time.fromisoformat(part.strip()) for part in begin.split(",")}))
        except ValueError:
            raise ValueError(
                f"{service}_SHIFTS takes the times when shifts begin, separated by commas: 06:00,14:00,22:00"
            ) from None
        if any(at.tzinfo for at in times):
            raise ValueError(f"{service}_SHIFTS takes times without a zone: set {service}_TIME_ZONE")
        try:
            return cls(times, ZoneInfo(zone))
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"{service}_TIME_ZONE takes a name such as Europe/Berlin, or UTC") from None

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
        # the sum is 0 if a clock change moved the start of the last shift past midnight
        return sum(at <= local for at in self.begin_times) or len(self.begin_times)

    def yesterday(self, now: datetime) -> tuple[datetime, datetime]:
        """Return the start and the end (excluded) of the last whole day, on the plant's clock."""
        today = now.astimezone(self.zone).replace(hour=0, minute=0, second=0, microsecond=0)
        # on the local clock, because a day on which the clock changes does not have 24 hours
        start = today.replace(tzinfo=None) - timedelta(days=1)
        return start.replace(tzinfo=self.zone), today

    def _around(self, day: date) -> list[datetime]:
        """Return the starts of the shifts from the day before a day to two days after it.

        They are in UTC, because local times can't be compared in the hour that is repeated in autumn.
        """
        days = [day + timedelta(days=offset) for offset in (-1, 0, 1, 2)]
        return [datetime.combine(each, at, self.zone).astimezone(UTC) for each in days for at in self.begin_times]

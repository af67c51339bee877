"""The filter of quality figures: the window, the line and the slice of the frames."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final, Self

from services.dashboard.quality.control_limits import LimitsFrom
from services.dashboard.statistics.windows import Subgroup
from services.dashboard.web.problems import Problem
from services.dashboard.web.query_times import EARLIEST, LATEST
from shared.language import gettext

LONGEST: Final = timedelta(days=20 * 365)


class ComparedBy(StrEnum):
    """What a window is divided by to compare rates: model, batch, camera or shift."""

    MODEL = "model"
    BATCH = "batch"
    CAMERA = "camera"
    SHIFT = "shift"


@dataclass(frozen=True)
class QualityFilter:
    """The frames of a window, and the length of the chart's points."""

    first: datetime
    last: datetime
    subgroup: Subgroup | None = None
    """The length of a point; None: chosen by the length of the window."""
    line: str | None = None
    slice_name: str = ""
    """``camera=…``, ``batch=…``, ``model=…`` or ``batch-model=…``; empty: the whole line."""
    shift: int | None = None
    """The number of a shift of the day, from 1; None: all."""
    label: str | None = None
    """The label whose faults count; None: all NG frames."""
    limits: LimitsFrom = LimitsFrom.WINDOW

    @classmethod
    def of(
        cls,
        first: datetime | None,
        last: datetime | None,
        length: timedelta,
        *,
        camera: str | None,
        batch: str | None,
        model: str | None,
        subgroup: Subgroup | None,
        line: str | None,
        shift: int | None,
        label: str | None,
        limits: LimitsFrom,
    ) -> Self:
        """Return the filter with these values: until now if ``last`` is None, and ``length`` long if ``first`` is None.

        Raises:
            Problem: 422: the values are inconsistent.
        """
        slices = {"camera": camera, "batch": batch, "model": model}
        given = [f"{kind}={name}" for kind, name in slices.items() if name]
        if batch and model:
            given = [f"batch-model={batch} {model}", *given[:-2]]
        if len(given) > 1:
            raise Problem(
                422, gettext("camera: give no batch and no model beside it; frames are not counted by these at once")
            )
        last = last or datetime.now(UTC)
        first = first or last - length
        found = cls(first, last, subgroup, line, given[0] if given else "", shift, label, limits)
        found.check()
        return found

    def moved_to_end_at(self, last: datetime) -> Self:
        """Return the same filter with a window of the same length that ends at ``last``."""
        return replace(self, first=last - (self.last - self.first), last=last)

    def baseline_filter(self, first: datetime | None, last: datetime | None) -> Self:
        """Return the same filter for the window to compare with: the given one, or the one of equal length just before.

        Raises:
            Problem: 422: the window is invalid.
        """
        length = self.last - self.first
        last = last or (first + length if first else self.first)
        other = replace(self, first=first or last - length, last=last)
        other.check()
        return other

    def check(self) -> None:
        """Check that the window and the points are consistent.

        Raises:
            Problem: 422: they are inconsistent.
        """
        if self.first >= self.last:
            raise Problem(422, gettext("from: give a time before `to`"))
        if self.first < EARLIEST or self.last > LATEST or self.last - self.first > LONGEST:
            raise Problem(
                422,
                gettext(
                    "from, to: at most %(years)s years, from %(first)s to %(last)s",
                    years=LONGEST.days // 365,
                    first=EARLIEST.year,
                    last=LATEST.year,
                ),
            )
        if self.shift is not None and self.subgroup not in (None, Subgroup.SHIFT):
            raise Problem(422, gettext("subgroup: points are shifts when one shift of the day is chosen"))

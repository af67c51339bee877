"""Figures as tables and reports write them, in the present language."""

from __future__ import annotations

from shared.datasets.coverage import FEW
from shared.intervals import Interval
from shared.language import fixed, gettext


def share_with_counts(value: float | None, n: int, interval: Interval | None = None) -> tuple[str, ...]:
    """Return a share of n images as ``93.8 % (87.0 to 97.1)`` and ``90 of 96``; of few images the counts alone.

    The interval is left out if it is None.
    """
    if value is None or n == 0:
        return (gettext("n/a"),)
    counts = gettext("%(found)s of %(all)s", found=round(value * n), all=n)
    if n < FEW:
        return (counts,)
    if interval is None:
        return percent(value), counts
    low, high = (fixed(100 * bound, 1) for bound in interval)
    return f"{percent(value)} {gettext('(%(low)s to %(high)s)', low=low, high=high)}", counts


def percent(value: float | None) -> str:
    """Return ``93.5 %``, or a dash for None."""
    return "–" if value is None else f"{fixed(100 * value, 1)} %"

"""Figures as tables and reports write them: a share with its counts, and of few images the counts alone."""

from __future__ import annotations

from shared.datasets.coverage import FEW
from shared.intervals import Interval


def share_with_counts(value: float | None, n: int, interval: Interval | None = None) -> tuple[str, ...]:
    """Return a share of n images as ``93.8 % (87.0 to 97.1)`` and ``90 of 96``; of few images the counts alone.

    The interval is left out if it is None.
    """
    if value is None or n == 0:
        return ("n/a",)
    counts = f"{round(value * n)} of {n}"
    if n < FEW:
        return (counts,)
    of = f" ({100 * interval[0]:.1f} to {100 * interval[1]:.1f})" if interval else ""
    return f"{100 * value:.1f} %{of}", counts

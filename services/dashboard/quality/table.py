"""The points of a control chart as CSV (RFC 4180)."""

from __future__ import annotations

import csv
from io import StringIO

from services.dashboard.quality.schemas import Breakdown, QualityView

COLUMNS = (
    "start", "end", "shift", "label", "frames", "hits", "rate", "rate_low", "rate_high", "centre", "limit_low",
    "limit_high", "rules", "models",
)  # fmt: skip


def csv_of(view: QualityView) -> str:
    """Return the points of the chart as CSV, one line per point."""
    text = StringIO()
    table = csv.writer(text)
    table.writerow(COLUMNS)
    chart = view.chart
    for point in chart.points:
        shares = (point.rate.value, point.rate.low, point.rate.high) if point.rate else ("", "", "")
        table.writerow(
            [
                point.start.isoformat(),
                point.end.isoformat(),
                point.shift or "",
                chart.label or "",
                point.frames,
                point.hits,
                *shares,
                "" if chart.centre is None else chart.centre,
                "" if point.low is None else point.low,
                "" if point.high is None else point.high,
                "; ".join(rule.value for rule in point.rules),
                "; ".join(f"{version}: {frames}" for version, frames in sorted(point.models.items())),
            ]
        )
    return text.getvalue()


def csv_of_breakdown(breakdown: Breakdown) -> str:
    """Return the rate of each group as CSV, one line per group."""
    text = StringIO()
    table = csv.writer(text)
    table.writerow((breakdown.by.value, "label", "frames", "hits", "rate", "rate_low", "rate_high"))
    for group in breakdown.groups:
        shares = (group.rate.value, group.rate.low, group.rate.high) if group.rate else ("", "", "")
        table.writerow([group.name, breakdown.label or "", group.frames, group.hits, *shares])
    return text.getvalue()

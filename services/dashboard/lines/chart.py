"""The chart of a line: its NG rate per minute."""

from __future__ import annotations

from datetime import datetime, timedelta

import pygal

from services.dashboard.lines.schemas import Bucket
from services.dashboard.web.chart_style import PLAIN, styled
from services.dashboard.web.templating import Clock
from shared import svg_charts
from shared.language import gettext, percent


def draw_ng_rate(buckets: list[Bucket], start: datetime, minutes: int, clock: Clock) -> str:
    """Return the NG rate per minute as SVG for a page.

    Args:
        buckets: one per minute, without the minutes that have no frame.
        start: the first minute.
        minutes: the number of minutes.
        clock: the plant's clock.
    """
    rates = {bucket.start: bucket.defect_rate.value for bucket in buckets if bucket.defect_rate}
    moments = [start + timedelta(minutes=index) for index in range(minutes)]
    labels = [clock(moment, "time") for moment in moments]
    top = next(top for top in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0) if max(rates.values(), default=0.0) <= top)
    chart = pygal.Bar(
        style=styled(("var(--ng)",)),
        width=860,
        height=260,
        **PLAIN,
        margin=4,
        spacing=6,
        x_labels=labels,
        x_labels_major=labels[:: max(1, minutes // 6)],
        show_minor_x_labels=False,
        y_labels=[0, top / 2, top],
        range=(0, top),
        truncate_label=-1,
        value_formatter=lambda value: (
            percent(value, 0 if round(1000 * value) % 10 == 0 else 1) if value is not None else ""
        ),
        rounded_bars=2,
    )
    chart.add(gettext("NG"), [rates.get(moment) for moment in moments])
    return svg_charts.embed(chart, gettext("Share of NG frames per minute"))

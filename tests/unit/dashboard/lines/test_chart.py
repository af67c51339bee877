"""The chart of a line."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from services.dashboard.lines.chart import draw_ng_rate
from services.dashboard.web.templating import Clock


def test_the_chart_of_the_ng_rate_uses_the_clock_of_the_plant() -> None:
    drawing = draw_ng_rate([], datetime(2026, 1, 31, 9, 30, tzinfo=UTC), 60, Clock(ZoneInfo("Pacific/Kiritimati")))
    assert [minute in drawing for minute in ("23:30", "23:50", "00:20", "09:30")] == [True, True, True, False]

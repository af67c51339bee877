"""Draw the control chart and the Pareto chart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import accumulate
from typing import Any, Final

import pygal
from pygal.etree import etree

from services.dashboard.quality.schemas import Chart, LabelCount, Point
from services.dashboard.statistics.windows import Subgroup
from services.dashboard.web.chart_style import PLAIN, styled
from services.dashboard.web.templating import Clock, with_name
from shared import svg_charts
from shared.language import count, gettext, percent

TIME_FORMATS: Final = {
    Subgroup.MINUTE: "time",
    Subgroup.HOUR: "weekday time",
    Subgroup.SHIFT: "weekday",
    Subgroup.DAY: "short day",
    Subgroup.WEEK: "day",
}
"""The formats of the times below the points."""
TIMES: Final = 8
"""The number of times below a chart."""
COLOURS: Final = ("var(--muted)", "var(--limit)", "var(--limit)", "var(--line)", "var(--ng)", "var(--lost)")
DASHES: Final = {"width": 1.5, "dasharray": "6,4"}


def draw_control(chart: Chart, clock: Clock, title: str) -> str:
    """Return a control chart as SVG: rates, centre, limits, signals, and the changes of the model."""
    top, points = _top(chart), [point for point in chart.points if point.frames]
    every = max(1, round(len(points) / TIMES))
    drawing = pygal.XY(
        style=styled(COLOURS),
        width=1200,
        height=400,
        **PLAIN,
        margin=6,
        truncate_label=-1,
        xrange=(-0.5, len(points) - 0.5),
        range=(0, top),
        y_labels=[top * quarter / 4 for quarter in range(5)],
        x_labels=[
            {"value": place, "label": clock(points[place].start, TIME_FORMATS[chart.subgroup])}
            for place in range(0, len(points), every)
        ],
        x_value_formatter=lambda _place: "",
        value_formatter=percent,
        allow_interruptions=True,
        show_x_guides=False,
        dots_size=2.5 if len(points) > 60 else 3.5,
    )
    ends = [(-0.5, chart.centre), (len(points) - 0.5, chart.centre)] if chart.centre is not None else []
    upper = [None if point.high is None else min(point.high, top) for point in points]
    dots = [_dot(place, point, clock) for place, point in enumerate(points)]
    signals = [
        {**dot, "label": f"{dot['label']}: {', '.join(point.rules)}"}
        for dot, point in zip(dots, points, strict=True)
        if dot and point.rules
    ]
    drawing.add(gettext("Centre"), ends, show_dots=False, stroke_style={"width": 1.5})
    drawing.add(gettext("Upper limit"), list(_steps(upper)), show_dots=False, stroke_style=DASHES)
    drawing.add(
        gettext("Lower limit"), list(_steps([point.low for point in points])), show_dots=False, stroke_style=DASHES
    )
    drawing.add(gettext("Rate"), dots, stroke_style={"width": 2})
    drawing.add(gettext("Out of control"), signals, stroke=False, dots_size=8)
    changes = {change.at.timestamp() for change in chart.changes}
    for place, point in enumerate(points):
        if point.start.timestamp() in changes:
            line = [(place - 0.5, 0), (place - 0.5, top)]
            drawing.add(gettext("Model"), line, show_dots=False, stroke_style={"width": 2, "dasharray": "2,3"})
    return svg_charts.embed(drawing, title)


def data_of_control(chart: Chart, clock: Clock, names: Mapping[str, str]) -> dict[str, Any]:
    """Return what the interactive control chart shows, by point; points without frames are left out.

    ``names``: the names of model versions.
    """
    points = [point for point in chart.points if point.frames]
    changes = {change.at: with_name(change.version, names) for change in chart.changes}
    return {
        "times": [clock(point.start, TIME_FORMATS[chart.subgroup]) for point in points],
        "titles": [clock(point.start) for point in points],
        "rate": [point.rate.value if point.rate else None for point in points],
        "low": [point.low for point in points],
        "high": [point.high for point in points],
        "frames": [point.frames for point in points],
        "hits": [point.hits for point in points],
        "rules": [[rule.value for rule in point.rules] for point in points],
        "models": [changes.get(point.start) for point in points],
        "centre": chart.centre,
        "top": _top(chart),
    }


def data_of_pareto(labels: Sequence[LabelCount], colours: dict[str, str]) -> dict[str, Any]:
    """Return what the interactive Pareto chart shows, by label."""
    shown = [label for label in labels if label.faults]
    return {
        "labels": [label.label for label in shown],
        "faults": [label.faults for label in shown],
        "scored": [label.scored for label in shown],
        "cumulative": [label.cumulative for label in shown],
        "colours": [colours.get(label.label, "#808890") for label in shown],
    }


def draw_pareto(labels: Sequence[LabelCount], colours: dict[str, str], title: str) -> str:
    """Return the faults by label as SVG bars, the most frequent first, with their cumulative shares."""
    shown = [label for label in labels if label.faults]
    drawing = pygal.Bar(
        style=styled(("var(--muted)",)),
        width=640,
        height=320,
        **PLAIN,
        margin=6,
        spacing=18,
        truncate_label=-1,
        x_labels=[f"{label.label} · {percent(label.cumulative)}" for label in shown],
        value_formatter=lambda value: count(round(value)),
        print_values=True,
        print_values_position="top",
        range=(0, max(1, sum(label.faults for label in shown)) * 1.06),
        show_y_labels=False,
        show_y_guides=False,
        rounded_bars=2,
    )
    drawing.add(
        gettext("Faults"), [{"value": each.faults, "color": colours.get(each.label, "var(--muted)")} for each in shown]
    )
    return svg_charts.embed(drawing, title, partial(_add_cumulative_line, [label.faults for label in shown]))


def _add_cumulative_line(faults: Sequence[int], tree: Any) -> None:
    """Add a line of the cumulative number of faults to the chart, on the scale of the bars."""
    group = next((group for group in tree.iter("g") if "serie-0" in (group.get("class") or "").split()), None)
    bars = [rect for rect in group.iter("rect") if float(rect.get("height", 0)) > 0] if group is not None else []
    if group is None or len(bars) != len(faults) or len(faults) == 0:
        return
    ground = float(bars[0].get("y", 0)) + float(bars[0].get("height", 0))
    pixels = float(bars[0].get("height", 0)) / faults[0]
    middles = [float(bar.get("x", 0)) + float(bar.get("width", 0)) / 2 for bar in bars]
    points = [(x, ground - total * pixels) for x, total in zip(middles, accumulate(faults), strict=True)]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    etree.SubElement(group, "polyline", {"points": path, "class": "cumulative"})
    for x, y in points:
        etree.SubElement(group, "circle", {"cx": f"{x:.1f}", "cy": f"{y:.1f}", "r": "4", "class": "cumulative"})


def _top(chart: Chart) -> float:
    """Return the top of the scale: a round number above all rates and nearly all limits."""
    rates = [point.rate.value for point in chart.points if point.rate]
    limits = sorted(point.high for point in chart.points if point.high is not None)
    highest = max([*rates, *limits[: max(1, len(limits) * 9 // 10)], 0.0005])
    steps = [digit * 10.0**-power for power in range(5, -1, -1) for digit in (1, 2, 4, 6, 8)]
    return next((step for step in steps if step >= highest * 1.02), 1.0) if highest < 1 else 1.0


def _steps(heights: Sequence[float | None]) -> Iterator[tuple[float, float] | None]:
    """Yield the points of a line that is horizontal over each point of the chart, and interrupted at None."""
    for place, height in enumerate(heights):
        if height is None:
            yield None
        else:
            yield from ((place - 0.5, height), (place + 0.5, height))


def _dot(place: int, point: Point, clock: Clock) -> dict[str, Any] | None:
    if point.rate is None:
        return None
    label = gettext(
        "%(time)s: %(rate)s, %(hits)s of %(frames)s",
        time=clock(point.start),
        rate=percent(point.rate.value),
        hits=point.hits,
        frames=point.frames,
    )
    return {"value": (place, point.rate.value), "label": label}

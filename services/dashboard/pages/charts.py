"""Charts, drawn here and sent as SVG: a browser shows them without a script."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

import pygal
from pygal.etree import etree
from pygal.style import Style

from services.dashboard.lines.schemas import Bucket
from services.dashboard.pages.templating import Clock

STYLE: Final = Style(
    background="transparent",
    plot_background="transparent",
    foreground="var(--muted)",
    foreground_strong="var(--ink)",
    foreground_subtle="var(--rule)",
    colors=("var(--ng)",),
    opacity="0.9",
    opacity_hover="1",
    transition="0s",
    font_family="inherit",
    label_font_size=13,
    major_label_font_size=13,
    guide_stroke_color="var(--rule)",
    major_guide_stroke_color="var(--rule)",
    guide_stroke_dasharray="0",
    major_guide_stroke_dasharray="0",
)

PLAIN: Final[dict[str, Any]] = {
    "js": (),
    "show_legend": False,
    "disable_xml_declaration": True,
    "explicit_size": False,
    "no_data_text": "",
}
"""Options of every chart."""


def styled(colours: tuple[str, ...]) -> Style:
    """The style of every chart, with the colours of its series."""
    values = {name: getattr(STYLE, name) for name in vars(type(STYLE)) if not name.startswith("_")} | vars(STYLE)
    plain = {name: value for name, value in values.items() if isinstance(value, str | int | float)}
    return Style(**{**plain, "colors": colours, "value_font_size": 14, "value_colors": ("var(--ink)",)})


def draw_ng_rate(buckets: list[Bucket], start: datetime, minutes: int, clock: Clock) -> str:
    """The share of NG frames per minute, as SVG to be put into a page.

    Args:
        buckets: by minute; those without a frame are left out.
        start: of the first minute.
        minutes: how many.
        clock: the plant's.
    """
    by_start = {bucket.start: bucket for bucket in buckets}
    moments = [start + timedelta(minutes=index) for index in range(minutes)]
    labels = [clock(moment, "%H:%M") for moment in moments]
    top = _top(buckets)
    chart = pygal.Bar(
        style=STYLE,
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
        value_formatter=lambda value: f"{value:.1%}".replace(".0%", "%") if value is not None else "",
        rounded_bars=2,
    )
    chart.add("NG", [_rate_at(by_start.get(moment)) for moment in moments])
    return embed(chart, "Share of NG frames per minute")


def _rate_at(bucket: Bucket | None) -> float | None:
    return bucket.defect_rate.value if bucket and bucket.defect_rate else None


def _top(buckets: list[Bucket]) -> float:
    """The top of the scale: the highest rate, rounded up to what people read easily."""
    highest = max((bucket.defect_rate.value for bucket in buckets if bucket.defect_rate), default=0.0)
    return next(top for top in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0) if highest <= top)


def embed(chart: Any, title: str) -> str:
    """The drawing alone, to be put into a page, with what each point says shown where the mouse rests.

    pygal's scripts are for pages that have none of their own, and ours allows none in line.
    """
    tree = chart.render_tree()
    for parent in list(tree.iter("defs")):
        for script in parent.findall("script"):
            parent.remove(script)
    for found in tree.findall("title"):
        tree.remove(found)
    for group in tree.iter("g"):
        said = {part.get("class"): part.text for part in group.findall("desc") if part.text}
        if words := said.get("label") or said.get("value"):
            etree.SubElement(group, "title").text = words
    tree.set("role", "img")
    tree.set("aria-label", title)
    return str(etree.tostring(tree, encoding="unicode"))

"""The style of the dashboard's charts."""

from __future__ import annotations

from typing import Any, Final

from pygal.style import Style

from shared import svg_charts

PLAIN: Final[dict[str, Any]] = {**svg_charts.PLAIN, "show_legend": False, "no_data_text": ""}
"""Options of every chart of the dashboard."""


def styled(colours: tuple[str, ...]) -> Style:
    """Return the style of every chart of the dashboard, with the colours of its series."""
    return svg_charts.style(colours, label_size=13, opacity="0.9", value_font_size=14, value_colors=("var(--ink)",))

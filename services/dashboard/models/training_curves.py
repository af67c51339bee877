"""Draw the curves of a training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import pygal

from services.dashboard.models.schemas import EpochView
from services.dashboard.web.chart_style import PLAIN, styled
from shared import svg_charts
from shared.language import fixed, gettext, plain, translated
from shared.validation import marked

LOSS: Final = {"loss": marked("training"), "val_loss": marked("validation")}
PRECISION: Final = {"val_average_precision": marked("average precision on the validation split")}
COLOURS: Final = ("var(--line)", "var(--limit)")
TICKS: Final = 10
FEW: Final = 40
"""Up to this number of epochs, the dots are large."""


def draw_curves(epochs: Sequence[EpochView], metrics: Mapping[str, str], title: str, *, share: bool = False) -> str:
    """Return metrics over the epochs as SVG for a page.

    Args:
        epochs: the epochs in their order.
        metrics: the names in the chart, by metric.
        title: the title of the chart.
        share: whether the scale is from 0 to 1.
    """
    last = max((each.epoch for each in epochs), default=1)
    step = max(1, -(-last // TICKS))
    chart = pygal.XY(
        style=styled(COLOURS),
        width=640,
        height=280,
        **PLAIN,
        margin=6,
        dots_size=3 if last <= FEW else 1.5,
        xrange=(0.5, max(last, 2) + 0.5),
        x_labels=list(range(1, last + 1, step)),
        x_value_formatter=lambda epoch: f"{epoch:g}",
        value_formatter=lambda value: fixed(value, 3) if share else plain(float(f"{value:.4g}")),
        show_x_guides=False,
        **({"range": (0, 1), "y_labels": [0, 0.25, 0.5, 0.75, 1]} if share else {}),
    )
    for name, shown_name in metrics.items():
        points = [
            {
                "value": (each.epoch, each.metrics[name]),
                "label": gettext(
                    "epoch %(epoch)s: %(metric)s %(value)s",
                    epoch=each.epoch,
                    metric=translated(shown_name),
                    value=fixed(each.metrics[name], 4),
                ),
            }
            for each in epochs
            if name in each.metrics
        ]
        chart.add(translated(shown_name), points, stroke_style={"width": 2})
    return svg_charts.embed(chart, title)

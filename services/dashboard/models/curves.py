"""The curves of a training, drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import pygal

from services.dashboard.models.schemas import EpochView
from services.dashboard.web.charts import PLAIN, styled
from shared import charts

LOSS: Final = {"loss": "training", "val_loss": "validation"}
PRECISION: Final = {"val_average_precision": "average precision on the validation part"}
COLOURS: Final = ("var(--line)", "var(--limit)")
TICKS: Final = 10
FEW: Final = 40
"""Epochs, up to which each has its dot."""


def draw_curves(epochs: Sequence[EpochView], metrics: Mapping[str, str], title: str, *, share: bool = False) -> str:
    """Metrics over the epochs, as SVG to be put into a page.

    Args:
        epochs: in their order.
        metrics: what they are called in the chart, by their names.
        title: what the chart is.
        share: the metrics lie between 0 and 1, and the scale shows all of it.
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
        value_formatter=lambda value: f"{value:.3f}" if share else f"{value:.4g}",
        show_x_guides=False,
        **({"range": (0, 1), "y_labels": [0, 0.25, 0.5, 0.75, 1]} if share else {}),
    )
    for name, called in metrics.items():
        points = [
            {
                "value": (each.epoch, each.metrics[name]),
                "label": f"epoch {each.epoch}: {called} {each.metrics[name]:.4f}",
            }
            for each in epochs
            if name in each.metrics
        ]
        chart.add(called, points, stroke_style={"width": 2})
    return charts.embed(chart, title)

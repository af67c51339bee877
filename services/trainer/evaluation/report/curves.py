"""Draw the curves of a report as SVG, which needs neither a script nor a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import pygal
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_curve, roc_curve

from services.trainer.evaluation.calibration import Bin
from services.trainer.evaluation.costs import Scores, Truth
from services.trainer.evaluation.threshold_curves import ThresholdCurve
from shared import svg_charts
from shared.language import fixed, gettext, plain

SERIES: Final = 8
"""Number of colours that a reader can tell apart: ``--series-0`` and so on in the page."""
POINTS: Final = 80
"""Largest number of points of a curve: more are not visible."""
UNITS: Final = [0, 0.25, 0.5, 0.75, 1]
STYLE: Final = svg_charts.style(
    # one more for the diagonal
    (*(f"var(--series-{number})" for number in range(SERIES)), "var(--muted)"),
    label_size=14,
    title_font_size=16,
    legend_font_size=14,
    opacity="1",
    stroke_width=2.5,
    stroke_width_hover=3,
)

Curve = Sequence[tuple[float, float]]


class Chart(NamedTuple):
    """A drawn chart, in the present language."""

    title: str
    svg: str


def precision_recall(names: Sequence[str], truth: Truth, scores: Scores) -> Chart:
    """Draw precision over recall, with a curve for each label that some image has."""
    curves = {}
    for column, name in enumerate(names):
        if truth[:, column].any():
            precision, recall, _ = precision_recall_curve(truth[:, column], scores[:, column])
            curves[name] = _thin_out(recall, precision)
    titles: dict[str, Any] = {
        "title": gettext("Precision and recall"),
        "x_title": gettext("recall"),
        "y_title": gettext("precision"),
    }
    return _draw("precision-recall", curves, **titles, y_labels=UNITS, x_labels=UNITS)


def receiver_operating(names: Sequence[str], truth: Truth, scores: Scores) -> Chart:
    """Draw the true over the false positive rate, for each label that some images have and some lack."""
    curves = {}
    for column, name in enumerate(names):
        if 0 < truth[:, column].sum() < len(truth):
            alarms, hits, _ = roc_curve(truth[:, column], scores[:, column])
            curves[name] = _thin_out(alarms, hits)
    titles: dict[str, Any] = {
        "title": gettext("Receiver operating characteristic"),
        "x_title": gettext("false alarms"),
        "y_title": gettext("found"),
    }
    return _draw("roc", curves, **titles, y_labels=UNITS, x_labels=UNITS)


def reliability(bins: Mapping[str, Sequence[Bin]]) -> Chart:
    """Draw the share of true images over the score; a score that is a probability lies on the diagonal."""
    curves: dict[str, Curve] = {
        name: [(each.score, each.share) for each in of_label] for name, of_label in bins.items()
    }
    curves[gettext("ideal")] = [(0.0, 0.0), (1.0, 1.0)]
    titles: dict[str, Any] = {
        "title": gettext("Reliability"),
        "x_title": gettext("score"),
        "y_title": gettext("share that has the label"),
    }
    return _draw("reliability", curves, **titles, y_labels=UNITS, x_labels=UNITS, dots=True)


def history(epochs: Sequence[Mapping[str, float]], metrics: Mapping[str, str], chart: str, title: str) -> Chart:
    """Draw metrics over the epochs, from 1; `metrics` has the names of their curves."""
    curves: dict[str, Curve] = {
        name: [(number, row[key]) for number, row in enumerate(epochs, start=1) if key in row]
        for key, name in metrics.items()
    }
    step = max(1, len(epochs) // 8)
    labels = list(range(1, len(epochs) + 1, step))
    return _draw(chart, curves, title=title, x_title=gettext("epoch"), x_labels=labels, dots=len(epochs) < 15, digits=3)


def threshold(name: str, number: int, of: ThresholdCurve) -> Chart:
    """Draw escapes, overkill and cost over one label's threshold, and the chosen threshold."""
    highest = max(of.cost) or 1.0
    rates = {gettext("escapes"): of.escape_rate, gettext("overkill"): of.overkill_rate}
    curves: dict[str, Curve] = {
        rate_name: [(at, rate) for at, rate in zip(of.thresholds, values, strict=True) if rate is not None]
        for rate_name, values in rates.items()
    }
    curves[gettext("cost (highest: 1)")] = [
        (at, cost / highest) for at, cost in zip(of.thresholds, of.cost, strict=True)
    ]
    curves[gettext("chosen")] = [(of.chosen, 0.0), (of.chosen, 1.0)]
    return _draw(
        f"threshold-{number}", curves, title=name, x_title=gettext("threshold"), y_labels=UNITS, x_labels=UNITS
    )


def _thin_out(xs: NDArray[np.float64], ys: NDArray[np.float64]) -> Curve:
    chosen = np.unique(np.linspace(0, len(xs) - 1, POINTS).astype(int))
    return [(round(float(xs[at]), 4), round(float(ys[at]), 4)) for at in chosen]


def _draw(
    chart_id: str, curves: Mapping[str, Curve], *, title: str, dots: bool = False, digits: int = 2, **options: Any
) -> Chart:
    chart = pygal.XY(
        style=STYLE,
        width=440,
        height=340,
        **svg_charts.PLAIN,
        no_data_text=gettext("nothing to show"),
        show_dots=dots,
        dots_size=3,
        show_legend=len(curves) > 1,
        legend_at_bottom=True,
        legend_at_bottom_columns=2,
        legend_box_size=12,
        truncate_legend=24,
        margin=6,
        margin_bottom=16 + 22 * ((len(curves) - 1) // 2),  # pygal leaves room for one row of the legend
        value_formatter=lambda value: fixed(value, digits),
        x_value_formatter=plain,
        **options,
    )
    chart.uuid = chart_id  # pygal gives each chart a random one
    for name, curve in (curves or {"": ()}).items():  # pygal can't place labels in a chart without curves
        chart.add(name, list(curve))
    return Chart(title, svg_charts.embed(chart, title))

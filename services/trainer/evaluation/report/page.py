"""Render the evaluation of a model as an HTML page."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pydantic import BaseModel, JsonValue

from services.trainer.evaluation.evaluation_run import EvaluationRun
from services.trainer.evaluation.mistakes import Mistake
from services.trainer.evaluation.report import curves
from services.trainer.evaluation.threshold_curves import ThresholdCurve
from services.trainer.evaluation.written import share_with_counts
from shared.contracts.operating_points import MEANINGS
from shared.datasets.coverage import FEW
from shared.intervals import Interval
from shared.recipe import Task
from shared.verdict import present_labels

TEMPLATES: Final = Path(__file__).parent / "templates"
LARGEST_MATRIX: Final = 24
"""With more labels, a confusion matrix is not readable."""

LABEL_FIGURES: Final = {
    "accuracy": "correct",
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
    "roc_auc": "ROC-AUC",
    "average_precision": "average precision",
    "brier": "Brier",
}
"""Figures of a label, by field, with the titles of their columns."""

HEATMAP_FIGURES: Final = {
    "pointing": "peak on mask",
    "centre": "image centre on mask",
    "random": "random pixel on mask",
    "empty": "no heat",
    "energy": "share of heat in mask",
    "area": "share of image in mask",
    "deletion": "score, hottest blurred",
    "deletion_random": "score, random places blurred",
    "insertion": "score, only hottest sharp",
    "insertion_random": "score, only random places sharp",
    "alike": "likeness with shuffled weights",
}
"""Figures of `shared.explain.metrics.LabelHeatmaps`, by field, with the titles of their columns."""


class VariantRow(BaseModel):
    """One compiled variant, as `evaluation.json` describes it."""

    name: str = ""
    images: int
    largest_score_difference: float
    changed_verdicts: int
    macro_average_precision: float | None = None
    in_full_precision: str | None = None
    left_out: str | None = None


@dataclass(frozen=True)
class ReportContent:
    """What a report shows."""

    version: str
    facts: Mapping[str, str]
    """Where the model comes from."""
    measured_on: str
    run: EvaluationRun
    chosen_on: str
    """The images of the operating points and of the threshold curves."""
    curves: Mapping[str, ThresholdCurve]
    mistakes: Sequence[Mistake] = ()
    images: Mapping[str, bytes] = field(default_factory=dict)
    """The images of the mistakes, by file name."""
    history: Sequence[Mapping[str, float]] = ()
    document: Mapping[str, Any] = field(default_factory=dict)
    """The `evaluation.json` of the training: best epoch, variants, warnings."""


def facts_of(architecture: str, dataset: str, created_at: datetime, options: Mapping[str, JsonValue]) -> dict[str, str]:
    """Return where a model comes from, as a report shows it; ``options`` are those of its training."""
    weights, shares, runs = (options.get(name) for name in ("weights", "shares", "computed_in"))
    split = (
        [f"{share:.0%}" for share in shares.values() if isinstance(share, float)] if isinstance(shares, dict) else []
    )
    # a training may have continued on other hardware
    machines = [run for run in runs if isinstance(run, dict)] if isinstance(runs, list) else []
    facts = {
        "architecture": architecture,
        "dataset": dataset,
        "trained": f"{created_at:%Y-%m-%d %H:%M} UTC",
        "initial weights": weights.get("source") if isinstance(weights, dict) else None,
        "computed in": ", then ".join(f"{run['precision']} on {run['hardware']}" for run in machines) or None,
        "seed": options.get("seed"),
        "epochs, at most": options.get("epochs"),
        "training / validation / test": " / ".join(split) or None,
    }
    return {name: str(value) for name, value in facts.items() if value is not None}


def render(content: ReportContent) -> str:
    """Return the report as HTML, with style, charts and images inside."""
    templates = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined)
    templates.filters |= {"percent": percent, "number": number, "span": span, "share": share_span, "around": around}
    run, evaluation, history = content.run, content.run.evaluation, content.history
    shown = list(evaluation.labels)
    if len(shown) > curves.SERIES:
        worst = sorted(shown, key=lambda name: evaluation.labels[name].average_precision or 0.0)[: curves.SERIES]
        shown = [name for name in shown if name in worst]
    columns = [run.recipe.label_names.index(name) for name in shown]
    truth, scores = run.truth[:, columns], run.scores[:, columns]
    titles = [f"{name}, {evaluation.labels[name].positives} of {evaluation.labels[name].n}" for name in shown]
    average_precision = {"val_average_precision": "average precision"}
    return templates.get_template("report.html").render(
        content=content,
        recipe=run.recipe,
        evaluation=evaluation,
        figures=LABEL_FIGURES,
        counted=share_with_counts,
        few=FEW,
        matrix=_confusion_matrix(run),
        variants=variant_rows(content.document),
        heatmaps=content.document.get("heatmaps") or {},
        heatmap_figures=HEATMAP_FIGURES,
        points=content.document.get("operating_points"),
        learning=content.document.get("learning_curve"),
        tried=content.document.get("tried") or [],
        doubts=content.document.get("doubtful_labels"),
        meanings=MEANINGS,
        warnings=content.document.get("warnings", []),
        best_epoch=content.document.get("best_epoch", 0),
        images={
            name: f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}" for name, jpeg in content.images.items()
        },
        shown=shown if len(shown) < len(run.recipe.labels) else [],
        curves={
            "Precision and recall": curves.precision_recall(titles, truth, scores),
            "Receiver operating characteristic": curves.receiver_operating(titles, truth, scores),
            "Reliability": curves.reliability(
                {title: evaluation.labels[name].reliability for title, name in zip(titles, shown, strict=True)}
            ),
        },
        thresholds=[
            curves.threshold(name, place, content.curves[name])
            for place, name in enumerate(shown)
            if name in content.curves
        ],
        training={
            "Loss": curves.history(history, {"loss": "training", "val_loss": "validation"}, "loss"),
            "Average precision on the validation split": curves.history(
                history, average_precision, "average-precision"
            ),
        }
        if history
        else {},
    )


def variant_rows(document: Mapping[str, Any]) -> list[VariantRow]:
    """Return the compiled variants of an `evaluation.json`, those that the bundle offers first."""
    offered = [VariantRow(**{**proof, "name": name}) for name, proof in document.get("compiled", {}).items()]
    left_out = [
        VariantRow(**{**left["proof"], "name": name, "left_out": left["reason"]})
        for name, left in document.get("not_offered", {}).items()
    ]
    return offered + left_out


def _confusion_matrix(run: EvaluationRun) -> list[list[int]]:
    """Return numbers of images (true label, label found) for an exclusive recipe; empty for others and many labels."""
    labels = len(run.recipe.labels)
    if run.recipe.task is not Task.EXCLUSIVE or labels > LARGEST_MATRIX:
        return []
    counts = np.zeros((labels, labels), int)
    found = present_labels(run.recipe, run.scores).argmax(axis=1)
    np.add.at(counts, (run.truth.argmax(axis=1), found), 1)
    return [[int(count) for count in row] for row in counts]


def percent(value: float | None) -> str:
    """Return ``93.5 %``, or a dash for None."""
    return "–" if value is None else f"{100 * value:.1f} %"


def number(value: float | None) -> str:
    """Return ``0.935``, or a dash for None."""
    return "–" if value is None else f"{value:.3f}"


def span(interval: Interval | None) -> str:
    """Return ``0.912 – 0.952``, or nothing for None."""
    return f"{interval[0]:.3f} – {interval[1]:.3f}" if interval else ""


def share_span(interval: Interval | None) -> str:
    """Return ``91.2 – 95.2`` in percent, or nothing for None."""
    return f"{100 * interval[0]:.1f} – {100 * interval[1]:.1f}" if interval else ""


def around(measured: Mapping[str, Any]) -> str:
    """Return ``0.912 – 0.952`` for a figure with ``low`` and ``high``, or nothing if there were too few images."""
    low, high = measured.get("low"), measured.get("high")
    return "" if low is None or high is None else span((low, high))

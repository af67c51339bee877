"""Render the evaluation of a model as an HTML page, in each language."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pydantic import BaseModel, JsonValue

from services.trainer.evaluation.evaluation_run import EvaluationRun
from services.trainer.evaluation.mistakes import Mistake
from services.trainer.evaluation.report import curves
from services.trainer.evaluation.threshold_curves import ThresholdCurve
from services.trainer.evaluation.written import percent, share_with_counts
from shared.contracts.bundle import REPORTS
from shared.contracts.operating_points import MEANINGS
from shared.datasets.coverage import FEW
from shared.intervals import Interval
from shared.language import (
    TEMPLATE_FILTERS,
    TEMPLATE_NAMES,
    find,
    find_plural,
    fixed,
    gettext,
    plain,
    speaking,
    written_time,
)
from shared.recipe import Task
from shared.validation import marked
from shared.verdict import present_labels

TEMPLATES: Final = Path(__file__).parent / "templates"
LARGEST_MATRIX: Final = 24
"""With more labels, a confusion matrix is not readable."""

LABEL_FIGURES: Final = {
    "accuracy": marked("correct"),
    "precision": marked("precision"),
    "recall": marked("recall"),
    "f1": "F1",
    "roc_auc": "ROC-AUC",
    "average_precision": marked("average precision"),
    "brier": "Brier",
}
"""Figures of a label, by field, with the titles of their columns."""

HEATMAP_FIGURES: Final = {
    "pointing": marked("peak on mask"),
    "centre": marked("image centre on mask"),
    "random": marked("random pixel on mask"),
    "empty": marked("no heat"),
    "energy": marked("share of heat in mask"),
    "area": marked("share of image in mask"),
    "deletion": marked("score, hottest blurred"),
    "deletion_random": marked("score, random places blurred"),
    "insertion": marked("score, only hottest sharp"),
    "insertion_random": marked("score, only random places sharp"),
    "alike": marked("likeness with shuffled weights"),
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
    """What a report shows; its texts are in the language of the report, or sentences that `reported` translates."""

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
    """Return where a model comes from, in the present language; ``options`` are those of its training."""
    weights, shares, runs = (options.get(name) for name in ("weights", "shares", "computed_in"))
    split = [
        f"{fixed(100 * share, 0)} %"
        for share in (shares.values() if isinstance(shares, dict) else [])
        if isinstance(share, float)
    ]
    # a training may have continued on other hardware
    machines = [
        gettext("%(precision)s on %(hardware)s", precision=run["precision"], hardware=run["hardware"])
        for run in (runs if isinstance(runs, list) else [])
        if isinstance(run, dict)
    ]
    facts = {
        gettext("Architecture"): architecture,
        gettext("Dataset"): dataset,
        gettext("Trained"): f"{written_time(created_at.astimezone(UTC), 'minute')} UTC",
        gettext("Initial weights"): weights.get("source") if isinstance(weights, dict) else None,
        gettext("Computed in"): " → ".join(machines) or None,
        gettext("Seed"): options.get("seed"),
        gettext("Epochs, at most"): options.get("epochs"),
        gettext("Training / validation / test"): " / ".join(split) or None,
    }
    return {name: str(value) for name, value in facts.items() if value is not None}


def report_files(content: Callable[[], ReportContent]) -> dict[str, bytes]:
    """Return the report in each language, by the name of its file; ``content`` is made in the present language."""
    files = {}
    for language, name in REPORTS.items():
        with speaking(language):
            files[name] = render(content()).encode()
    return files


def render(content: ReportContent) -> str:
    """Return the report as HTML in the present language, with style, charts and images inside."""
    run, evaluation, history = content.run, content.run.evaluation, content.history
    shown = list(evaluation.labels)
    if len(shown) > curves.SERIES:
        worst = sorted(shown, key=lambda name: evaluation.labels[name].average_precision or 0.0)[: curves.SERIES]
        shown = [name for name in shown if name in worst]
    columns = [run.recipe.label_names.index(name) for name in shown]
    truth, scores = run.truth[:, columns], run.scores[:, columns]
    titles = [
        gettext(
            "%(label)s, %(with_it)s of %(all)s",
            label=name,
            with_it=evaluation.labels[name].positives,
            all=evaluation.labels[name].n,
        )
        for name in shown
    ]
    losses = {"loss": gettext("training"), "val_loss": gettext("validation")}
    average_precision = {"val_average_precision": gettext("average precision")}
    return (
        _templates()
        .get_template("report.html")
        .render(
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
                name: f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
                for name, jpeg in content.images.items()
            },
            shown=shown if len(shown) < len(run.recipe.labels) else [],
            curves=[
                curves.precision_recall(titles, truth, scores),
                curves.receiver_operating(titles, truth, scores),
                curves.reliability(
                    {title: evaluation.labels[name].reliability for title, name in zip(titles, shown, strict=True)}
                ),
            ],
            thresholds=[
                curves.threshold(name, place, content.curves[name])
                for place, name in enumerate(shown)
                if name in content.curves
            ],
            training=[
                curves.history(history, losses, "loss", gettext("Loss")),
                curves.history(
                    history,
                    average_precision,
                    "average-precision",
                    gettext("Average precision on the validation split"),
                ),
            ]
            if history
            else [],
        )
    )


@cache
def _templates() -> Environment:
    """Return the templates of the report, with the texts of `shared.language`."""
    templates = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        extensions=["jinja2.ext.i18n"],
    )
    templates.install_gettext_callables(find, find_plural, newstyle=True)  # type: ignore[attr-defined]  # of i18n
    templates.globals |= TEMPLATE_NAMES
    templates.filters |= {
        **TEMPLATE_FILTERS,
        "around": around,
        "brief": lambda value: plain(float(f"{value:.2g}")),
        "number": number,
        "percent": percent,
        "share": share_span,
        "span": span,
    }
    return templates


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


def number(value: float | None) -> str:
    """Return ``0.935``, or a dash for None."""
    return "–" if value is None else fixed(value, 3)


def span(interval: Interval | None) -> str:
    """Return ``0.912 – 0.952``, or nothing for None."""
    return " – ".join(fixed(bound, 3) for bound in interval) if interval else ""


def share_span(interval: Interval | None) -> str:
    """Return ``91.2 – 95.2`` in percent, or nothing for None."""
    return " – ".join(fixed(100 * bound, 1) for bound in interval) if interval else ""


def around(measured: Mapping[str, Any]) -> str:
    """Return ``0.912 – 0.952`` for a figure with ``low`` and ``high``, or nothing if there were too few images."""
    low, high = measured.get("low"), measured.get("high")
    return "" if low is None or high is None else span((low, high))

"""From what is known of a model to the page that says it."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pydantic import BaseModel, JsonValue

from services.trainer.evaluation.evaluate import LabelEvaluation
from services.trainer.evaluation.evaluation_run import Examined
from services.trainer.evaluation.mistakes import Mistake
from services.trainer.evaluation.operating_points import OperatingPoints
from services.trainer.evaluation.report import charts
from shared.intervals import Interval
from shared.recipe import Task

TEMPLATES: Final = Path(__file__).parent / "templates"
MATRIX: Final = 24
"""The most labels of which a table of all against all is still read."""


class VariantRow(BaseModel):
    """What `evaluation.json` says of a compiled variant."""

    name: str = ""
    images: int
    largest_score_difference: float
    changed_verdicts: int
    macro_average_precision: float | None = None
    in_full_precision: str | None = None
    left_out: str | None = None


class Source(Protocol):
    """Where a model comes from: a manifest, or what becomes one."""

    @property
    def architecture(self) -> str:
        """Its name."""
        ...

    @property
    def dataset(self) -> str:
        """What it learned from."""
        ...

    @property
    def created_at(self) -> datetime:
        """When it was ordered."""
        ...

    @property
    def options(self) -> Mapping[str, JsonValue]:
        """Of the training."""
        ...


def facts_of(source: Source) -> dict[str, str]:
    """Where a model comes from, in words."""
    options = source.options
    weights, shares = options.get("weights"), options.get("shares")
    split = (
        [f"{share:.0%}" for share in shares.values() if isinstance(share, float)] if isinstance(shares, dict) else []
    )
    facts = {
        "architecture": source.architecture,
        "learned from": source.dataset,
        "trained": f"{source.created_at:%Y-%m-%d %H:%M} UTC",
        "started from": weights.get("source") if isinstance(weights, dict) else None,
        "computed in": _computed_in(options.get("computed_in")),
        "seed": options.get("seed"),
        "epochs, at most": options.get("epochs"),
        "train / valid / test": " / ".join(split) or None,
    }
    return {name: str(value) for name, value in facts.items() if value is not None}


def _computed_in(runs: JsonValue) -> str | None:
    """Precisions and hardware, in the order in which a training went through them."""
    known = [run for run in runs if isinstance(run, dict)] if isinstance(runs, list) else []
    return ", then ".join(f"{run['precision']} on {run['hardware']}" for run in known) or None


@dataclass(frozen=True)
class Subject:
    """What a report is about."""

    version: str
    facts: Mapping[str, str]
    """Where the model comes from."""
    measured_on: str
    examined: Examined
    chosen_on: str
    """The images of the operating points."""
    points: Mapping[str, OperatingPoints]
    mistakes: Sequence[Mistake] = ()
    shots: Mapping[str, bytes] = field(default_factory=dict)
    """The images of the mistakes, by file."""
    history: Sequence[Mapping[str, float]] = ()
    document: Mapping[str, Any] = field(default_factory=dict)
    """Of the training: best epoch, variants, warnings."""


def render(subject: Subject) -> str:
    """The report as HTML, with everything in it."""
    templates = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined)
    templates.filters |= {"percent": percent, "number": number, "span": span, "share": share_span, "around": around}
    return templates.get_template("report.html").render(
        subject=subject,
        recipe=subject.examined.recipe,
        evaluation=subject.examined.evaluation,
        numbers=LABEL_NUMBERS,
        matrix=_matrix(subject.examined),
        variants=variant_rows(subject.document),
        heatmaps=subject.document.get("heatmaps") or {},
        heatmap_numbers=HEATMAP_NUMBERS,
        warnings=subject.document.get("warnings", []),
        best_epoch=subject.document.get("best_epoch", 0),
        images={name: _inline(shot) for name, shot in subject.shots.items()},
        **_charts(subject),
    )


HEATMAP_NUMBERS: Final = {
    "pointing": "peak on it",
    "centre": "middle on it",
    "random": "by lot on it",
    "energy": "heat in it",
    "area": "image in it",
    "deletion": "hottest blurred",
    "deletion_random": "any place blurred",
    "insertion": "hottest alone",
    "insertion_random": "any place alone",
    "alike": "alike when shuffled",
}
"""Of `shared.explain.scores.LabelHeatmaps`, and what a column is called."""

LABEL_NUMBERS: Final = {
    "accuracy": "correct",
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
    "roc_auc": "ROC-AUC",
    "average_precision": "average precision",
    "brier": "Brier",
}
"""Of a label, and what they are called on the page."""


def variant_rows(document: Mapping[str, Any]) -> list[VariantRow]:
    """The compiled variants, those that are offered first."""
    offered = [VariantRow(**{**proof, "name": name}) for name, proof in document.get("compiled", {}).items()]
    left_out = [
        VariantRow(**{**left["proof"], "name": name, "left_out": left["reason"]})
        for name, left in document.get("not_offered", {}).items()
    ]
    return offered + left_out


def _charts(subject: Subject) -> dict[str, Any]:
    examined = subject.examined
    shown = _hardest(examined.evaluation.labels)
    columns = [examined.recipe.label_names.index(name) for name in shown]
    truth, scores = examined.truth[:, columns], examined.scores[:, columns]
    history = subject.history
    return {
        "hardest": shown if len(shown) < len(examined.recipe.labels) else [],
        "curves": {
            "Precision and recall": charts.precision_recall(shown, truth, scores),
            "Receiver operating characteristic": charts.receiver_operating(shown, truth, scores),
            "Reliability": charts.reliability({name: examined.evaluation.labels[name].reliability for name in shown}),
        },
        "thresholds": [
            charts.threshold(name, place, subject.points[name])
            for place, name in enumerate(shown)
            if name in subject.points
        ],
        "training": {
            "Loss": charts.history(history, {"loss": "training", "val_loss": "validation"}, "loss"),
            "Average precision on the validation part": charts.history(
                history, {"val_average_precision": "average precision"}, "average-precision"
            ),
        }
        if history
        else {},
    }


def _hardest(labels: Mapping[str, LabelEvaluation]) -> list[str]:
    """The labels that charts show: all, or of many the ones that are recognised worst."""
    names = list(labels)
    if len(names) <= charts.SERIES:
        return names
    worst = sorted(names, key=lambda name: labels[name].average_precision or 0.0)[: charts.SERIES]
    return [name for name in names if name in worst]


def _inline(jpeg: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"


def _matrix(examined: Examined) -> list[list[int]]:
    """Of an exclusive recipe: (true, said) images; empty for others, and for very many labels."""
    labels = len(examined.recipe.labels)
    if examined.recipe.task is not Task.EXCLUSIVE or labels > MATRIX:
        return []
    counts = np.zeros((labels, labels), int)
    np.add.at(counts, (examined.truth.argmax(axis=1), examined.scores.argmax(axis=1)), 1)
    return [[int(count) for count in row] for row in counts]


def percent(value: float | None) -> str:
    """``93.5 %``; a dash where there is no number."""
    return "–" if value is None else f"{100 * value:.1f} %"


def number(value: float | None) -> str:
    """``0.935``; a dash where there is no number."""
    return "–" if value is None else f"{value:.3f}"


def span(interval: Interval | None) -> str:
    """``0.912 – 0.952``; nothing where there is no interval."""
    return f"{interval[0]:.3f} – {interval[1]:.3f}" if interval else ""


def share_span(interval: Interval | None) -> str:
    """``91.2 – 95.2``, in percent; nothing where there is no interval."""
    return f"{100 * interval[0]:.1f} – {100 * interval[1]:.1f}" if interval else ""


def around(measured: Mapping[str, Any]) -> str:
    """``0.912 – 0.952`` of a mean over images; nothing where they were too few for an interval."""
    low, high = measured.get("low"), measured.get("high")
    return "" if low is None or high is None else span((low, high))

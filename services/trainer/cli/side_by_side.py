"""Print a comparison of two models, label by label and as a whole."""

from __future__ import annotations

from typing import Final

from rich.console import Console
from rich.table import Table

from services.trainer.evaluation.written import share_with_counts
from services.trainer.promotion.comparison import Comparison
from services.trainer.promotion.gate import comparison_result, describe_images, objections
from shared.datasets.coverage import FEW
from shared.intervals import Interval

OF_LABELS: Final = ("recall", "precision", "f1", "average_precision", "accuracy")


def show(comparison: Comparison) -> None:
    """Print a table, and whether the gate allows the candidate to replace the baseline."""
    baseline, candidate = comparison.baseline, comparison.candidate
    table = Table("label", "examples", "measure", baseline.version, candidate.version, box=None)
    for name in [name for name in baseline.evaluation.labels if name in candidate.evaluation.labels]:
        baseline_label, candidate_label = baseline.evaluation.labels[name], candidate.evaluation.labels[name]
        if not baseline_label.is_telling:
            few = f"too few images: {FEW} with it and {FEW} without it are needed"
            table.add_row(name, f"{baseline_label.positives} of {baseline_label.n}", few, "", "")
            continue
        for row, measure in enumerate(OF_LABELS):
            table.add_row(
                "" if row else name,
                "" if row else f"{baseline_label.positives} of {baseline_label.n}",
                measure.replace("_", " "),
                with_interval(getattr(baseline_label, measure), baseline_label.intervals.get(measure)),
                with_interval(getattr(candidate_label, measure), candidate_label.intervals.get(measure)),
            )
    sides = baseline.evaluation, candidate.evaluation
    for row, measure in enumerate(baseline.evaluation.rates):
        shares = (share_with_counts(*side.rates[measure], side.intervals.get(measure)) for side in sides)
        images = str(baseline.evaluation.rates[measure][1])
        table.add_row("" if row else "whole", images, measure.replace("_", " "), *map(", ".join, shares))
    costs = (with_interval(side.cost, side.intervals.get("cost")) for side in sides)
    table.add_row("", str(comparison.images), "cost", *costs)
    console = Console(width=120)
    console.print(table, highlight=False)
    reasons = objections(comparison)
    explanation = f": {'; '.join(reasons)}" if reasons else " beyond the intervals"
    conclusion = f"{candidate.version} is {comparison_result(comparison)} {baseline.version}{explanation}"
    console.print(f"{describe_images(comparison)}\n{conclusion}", highlight=False)


def with_interval(value: float | None, interval: Interval | None) -> str:
    """Return a number with its interval as text; a dash for None."""
    if value is None:
        return "-"
    return f"{value:.3f} ({interval[0]:.3f} to {interval[1]:.3f})" if interval else f"{value:.3f}"

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
    """Print a table, and what the gate says of the second model as the successor of the first."""
    before, after = comparison.baseline, comparison.candidate
    table = Table("label", "examples", "measure", before.version, after.version, box=None)
    for name in [name for name in before.evaluation.labels if name in after.evaluation.labels]:
        first, second = before.evaluation.labels[name], after.evaluation.labels[name]
        if not first.is_telling:
            few = f"too few images: {FEW} with it and {FEW} without it are needed"
            table.add_row(name, f"{first.positives} of {first.n}", few, "", "")
            continue
        for row, measure in enumerate(OF_LABELS):
            table.add_row(
                "" if row else name,
                "" if row else f"{first.positives} of {first.n}",
                measure.replace("_", " "),
                with_interval(getattr(first, measure), first.intervals.get(measure)),
                with_interval(getattr(second, measure), second.intervals.get(measure)),
            )
    sides = before.evaluation, after.evaluation
    for row, measure in enumerate(before.evaluation.rates):
        shares = (share_with_counts(*side.rates[measure], side.intervals.get(measure)) for side in sides)
        images = str(before.evaluation.rates[measure][1])
        table.add_row("" if row else "whole", images, measure.replace("_", " "), *map(", ".join, shares))
    costs = (with_interval(side.cost, side.intervals.get("cost")) for side in sides)
    table.add_row("", str(comparison.images), "cost", *costs)
    console = Console(width=120)
    console.print(table, highlight=False)
    against = objections(comparison)
    why = f": {'; '.join(against)}" if against else " beyond the intervals"
    found = f"{after.version} is {comparison_result(comparison)} {before.version}{why}"
    console.print(f"{describe_images(comparison)}\n{found}", highlight=False)


def with_interval(value: float | None, interval: Interval | None) -> str:
    """Write a number with its interval; a dash if it is not defined."""
    if value is None:
        return "-"
    return f"{value:.3f} ({interval[0]:.3f} to {interval[1]:.3f})" if interval else f"{value:.3f}"

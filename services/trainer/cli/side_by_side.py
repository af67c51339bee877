"""Print a comparison of two models, label by label and as a whole."""

from __future__ import annotations

from typing import Final

from rich.console import Console
from rich.table import Table

from services.trainer.promotion.comparison import Comparison
from services.trainer.promotion.gate import comparison_result, describe_images, objections
from shared.intervals import Interval

OF_LABELS: Final = ("recall", "precision", "f1", "average_precision", "accuracy")
OF_WHOLE: Final = ("verdict_accuracy", "escape_rate", "overkill_rate", "cost")


def show(comparison: Comparison) -> None:
    """Print a table, and what the gate says of the second model as the successor of the first."""
    before, after = comparison.baseline, comparison.candidate
    table = Table("label", "examples", "measure", before.version, after.version, box=None)
    for name in [name for name in before.evaluation.labels if name in after.evaluation.labels]:
        first, second = before.evaluation.labels[name], after.evaluation.labels[name]
        for row, measure in enumerate(OF_LABELS):
            table.add_row(
                "" if row else name,
                "" if row else str(first.positives),
                measure.replace("_", " "),
                with_interval(getattr(first, measure), first.intervals.get(measure)),
                with_interval(getattr(second, measure), second.intervals.get(measure)),
            )
    for row, measure in enumerate(OF_WHOLE):
        table.add_row(
            "" if row else "whole",
            "" if row else str(comparison.images),
            measure.replace("_", " "),
            with_interval(getattr(before.evaluation, measure), before.evaluation.intervals.get(measure)),
            with_interval(getattr(after.evaluation, measure), after.evaluation.intervals.get(measure)),
        )
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

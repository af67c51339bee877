"""Whether a model may follow the one in production: it must not be worse, on pictures that it never learned from.

Nor may it pass because there was little to see: see `unproven`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

from services.trainer.split import FEW
from shared.messages import ComparisonRequested
from shared.quiet import import_quietly
from shared.storage.port import ObjectStore

if TYPE_CHECKING:  # it brings scikit-learn and OpenVINO with it: seconds, and a hundred megabytes
    from services.trainer.comparison import Comparison, Comparisons
    from shared.intervals import Interval

Compare = Callable[[str, str, str], "Comparison"]
"""Recipe, baseline, candidate: the two on the candidate's test part."""


class Measuring:
    """Compares models; what that needs is loaded when first asked, and no line waits for it at its start."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def compare(self, recipe: str, baseline: str, candidate: str) -> Comparison:
        """See `services.trainer.comparison.Comparisons`."""
        return self._comparisons.compare(recipe, baseline, candidate)

    def answer(self, asked: ComparisonRequested) -> None:
        """See `services.trainer.comparison.Comparisons`."""
        self._comparisons.answer(asked)

    @cached_property
    def _comparisons(self) -> Comparisons:
        loaded: Comparisons = import_quietly("services.trainer.comparison").Comparisons(self._store)
        return loaded


def objections(comparison: Comparison) -> list[str]:
    """Why the candidate may not follow the baseline; empty: it may pass."""
    return [*unproven(comparison), *worse(comparison)]


def unproven(comparison: Comparison) -> list[str]:
    """Why the comparison proves little, whatever came out.

    Of each label that makes a part ok or NG, `FEW` pictures with it and as many without it must be there: among six
    pictures, a model that misses two more of them lies within any interval. And both recipes must say alike what makes
    a part NG and what a wrong verdict costs: with a defect that is one no longer, or an escape that costs nothing, any
    model is as good as another.
    """
    labels = comparison.candidate.evaluation.labels
    counts = {name: (labels[name].positives, labels[name].n - labels[name].positives) for name in comparison.deciding}
    few = [f"{name} ({true} with, {false} without)" for name, (true, false) in counts.items() if min(true, false) < FEW]
    found = []
    if few:
        found.append(
            f"too few test pictures of {', '.join(few)}, where {FEW} with and {FEW} without prove something: "
            "train it with a larger test share (option shares), or label more"
        )
    if comparison.differences:
        found.append(f"its recipe judges by another rule: {', '.join(comparison.differences)}")
    return found


def worse(comparison: Comparison) -> list[str]:
    """In what the candidate is worse than the baseline beyond the interval (95 %).

    The recall of each label that the pictures have must lie within the baseline's interval or above. The cost of wrong
    verdicts must not be higher for sure: the interval of the difference, picture by picture, must reach down to zero.
    (A baseline without a mistake has an interval of no width by the bootstrap, and one that hides anything by rates.)
    """
    production, candidate = comparison.baseline.evaluation, comparison.candidate.evaluation
    found = []
    for name, label in candidate.labels.items():
        before = production.labels[name]
        interval = before.intervals.get("recall")
        if label.recall is not None and before.recall is not None and interval and label.recall < interval[0]:
            found.append(f"recall of {name} is {label.recall:.3f}, was {_told(before.recall, interval)}")
    extra = comparison.extra_cost_interval
    if extra and extra[0] > 0:
        more = _told(comparison.extra_cost, extra)
        found.append(f"cost per picture is {candidate.cost:.3f}, was {production.cost:.3f}: more by {more}")
    return found


def summary(comparison: Comparison) -> str:
    """What was compared, in a line."""
    seen = comparison.baseline.learned_from
    flattered = f", {seen} of them known to model {comparison.baseline.version} from its training" if seen else ""
    return f"{comparison.pictures} test pictures of {comparison.dataset}{flattered}"


def verdict(comparison: Comparison) -> str:
    """What came out, in the words before the pictures that it came out on."""
    if worse(comparison):
        return "worse than"
    return "not proven to be as good as" if unproven(comparison) else "no worse than"


def _told(value: float, interval: Interval) -> str:
    return f"{value:.3f} ({interval[0]:.3f} to {interval[1]:.3f})"

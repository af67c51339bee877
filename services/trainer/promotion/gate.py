"""Whether a model may follow the one in production: it must not be worse, on images that it never learned from.

Nor may it pass because there was little to see: see `unproven`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Final

from services.trainer.datasets.split import FEW
from services.trainer.errors import TrainerError
from services.trainer.jobs.announcement import refused
from services.trainer.jobs.measurement_jobs import Errands
from shared.contracts.bundle import BundleError, comparison_key
from shared.messages import (
    ComparisonRequested,
    PromotionRequested,
    ThresholdsKept,
    ThresholdsRefused,
    ThresholdsRequested,
)
from shared.storage.port import ObjectStore

if TYPE_CHECKING:  # it brings scikit-learn and OpenVINO with it: seconds, and a hundred megabytes
    from types import ModuleType

    from services.trainer.promotion.comparison import Comparison, Comparisons
    from shared.intervals import Interval

ONE_MORE_IN: Final = 20
"""One image more in so many (or one, of fewer) may be judged wrongly, however wide the interval is."""

Compare = Callable[[PromotionRequested, str], "Comparison"]
"""The model that shall be promoted beside the version in production, on the candidate's test part."""


class Interrupted(Exception):
    """The trainer ends in the middle of a measurement."""


class NotMeasured(Exception):
    """A promotion can't be decided before two models are measured, which takes its time."""


class NotComparable(TrainerError):
    """Two models were looked at, and can't be measured on the same images; the message says why."""


class Measuring:
    """Measures models; what that needs is loaded when first asked, and no line waits for it at its start."""

    def __init__(self, store: ObjectStore, stopped: Callable[[], bool] = lambda: False) -> None:
        """``stopped`` is asked between two batches of images, and ends what is being measured."""
        self._store = store
        self._stopped = stopped

    def compare(self, recipe: str, baseline: str, candidate: str) -> Comparison:
        """See `services.trainer.promotion.comparison.Comparisons`."""
        return self._comparisons.compare(recipe, baseline, candidate)

    def beside(self, asked: PromotionRequested, production: str) -> Comparison:
        """Compare now, however long it takes."""
        return self.compare(asked.recipe, production, asked.model_version)

    def known(self, recipe: str, baseline: str, candidate: str) -> Comparison | None:
        """What was measured before; None where nothing was."""
        if not self._store.exists(comparison_key(recipe, baseline, candidate)):
            return None
        return self._comparisons.known(recipe, baseline, candidate)

    def objection(self, recipe: str, baseline: str, candidate: str) -> str:
        """Compare, and keep what came out; why it can't be done, or nothing."""
        try:
            self.compare(recipe, baseline, candidate)
        except TrainerError as error:
            return str(error)
        return ""

    def answer(self, asked: ComparisonRequested) -> None:
        """See `services.trainer.promotion.comparison.Comparisons`."""
        self._comparisons.answer(asked)

    def refuse(self, asked: ComparisonRequested, reason: str) -> None:
        """See `services.trainer.promotion.comparison.Comparisons`."""
        self._comparisons.refuse(asked, reason)

    def keep_thresholds(self, asked: ThresholdsRequested) -> ThresholdsKept | ThresholdsRefused:
        """See `services.trainer.promotion.threshold_sets`: the version that was asked for, or why there is none."""
        try:
            kept: ThresholdsKept = self._loaded("threshold_sets").keep_thresholds(asked, self._store, self._stopped)
        except (TrainerError, BundleError) as error:
            return refused(asked, str(error))
        return kept

    @cached_property
    def _comparisons(self) -> Comparisons:
        loaded: Comparisons = self._loaded("comparison").Comparisons(self._store, self._stopped)
        return loaded

    def _loaded(self, module: str) -> ModuleType:
        return importlib.import_module(f"services.trainer.promotion.{module}")


class Beside:
    """What a promotion is decided by, where nobody waits: what was measured before, or else that it has to be."""

    def __init__(self, measuring: Measuring, errands: Errands) -> None:
        self._measuring = measuring
        self._errands = errands

    def __call__(self, asked: PromotionRequested, production: str) -> Comparison:
        """The comparison.

        Raises:
            NotComparable: they were looked at for this request, and can't be compared.
            NotMeasured: nobody has measured them.
        """
        if known := self._measuring.known(asked.recipe, production, asked.model_version):
            return known
        measured = self._errands.measured(asked)
        if measured and measured.against == production and measured.objection:
            raise NotComparable(measured.objection)
        raise NotMeasured


def objections(comparison: Comparison) -> list[str]:
    """Why the candidate may not follow the baseline; empty: it may pass."""
    return [*unproven(comparison), *worse(comparison)]


def unproven(comparison: Comparison) -> list[str]:
    """Why the comparison proves little, whatever came out.

    Of each label that makes a part ok or NG, `FEW` images with it and as many without it must be there: of fewer, a
    model that misses many on the line may well miss none. And both recipes must say alike what makes a part NG and what
    a wrong verdict costs: with a defect that is one no longer, or an escape that costs nothing, any model is as good as
    another. Nor may the candidate have learned from the images, or from others of their groups, which are like them.
    """
    labels = comparison.candidate.evaluation.labels
    counts = {name: (labels[name].positives, labels[name].n - labels[name].positives) for name in comparison.deciding}
    few = [f"{name} ({true} with, {false} without)" for name, (true, false) in counts.items() if min(true, false) < FEW]
    found = [*_flattered(comparison)]
    if few:
        found.append(
            f"too few test images of {', '.join(few)}, where {FEW} with and {FEW} without prove something: "
            "train it with a larger test share (option shares; the warnings of its evaluation say which), or label more"
        )
    if comparison.differences:
        found.append(f"its recipe judges by another rule: {', '.join(comparison.differences)}")
    return found


def worse(comparison: Comparison) -> list[str]:
    """In what the candidate is worse than the baseline beyond the interval (95 %).

    The recall of each label that the images have must lie within the baseline's interval or above, and the escape
    rate within it or below: where a label makes a part ok, as `good` does, no recall tells of an escape. Where few
    images make an interval wide, neither may be worse by more than one image in `ONE_MORE_IN`. The cost of wrong
    verdicts must not be higher for sure: the interval of the difference, image by image, must reach down to zero.
    (A baseline without a mistake has an interval of no width by the bootstrap, and one that hides anything by rates.)
    """
    return [*_recalls(comparison), *_cost(comparison), *_escapes(comparison)]


def _flattered(comparison: Comparison) -> Iterator[str]:
    known = comparison.candidate.learned_from
    if known is None:
        yield "it does not say which images it learned from (train.csv): train it anew"
    elif known:
        yield f"it learned from {known} of these test images itself: train it anew, on a dataset that is split"
    elif comparison.known_groups:
        yield (
            f"it learned from other images of {comparison.known_groups} of the {comparison.groups} groups that these "
            "are of, neighbours in a video for instance: add images of other parts, batches or videos"
        )


def _recalls(comparison: Comparison) -> Iterator[str]:
    for name, label in comparison.candidate.evaluation.labels.items():
        before = comparison.baseline.evaluation.labels[name]
        interval = before.intervals.get("recall")
        if label.recall is None or before.recall is None or not interval:
            continue
        more = label.confusion.false_negative - before.confusion.false_negative
        if label.recall < interval[0] or _too_many(more, label.positives):
            told = f"recall of {name} is {label.recall:.3f}, was {_told(before.recall, interval)}"
            yield f"{told}, with {more} more of {label.positives} missed"


def _cost(comparison: Comparison) -> Iterator[str]:
    extra = comparison.extra_cost_interval
    if extra and extra[0] > 0:
        now, then = comparison.candidate.evaluation.cost, comparison.baseline.evaluation.cost
        yield f"cost per image is {now:.3f}, was {then:.3f}: more by {_told(comparison.extra_cost, extra)}"


def _escapes(comparison: Comparison) -> Iterator[str]:
    production = comparison.baseline.evaluation
    now, then = comparison.candidate.evaluation.escape_rate, production.escape_rate
    interval = production.intervals.get("escape_rate")
    if now is None or then is None or not interval:
        return
    more = round((now - then) * comparison.ng)
    if now > interval[1] or _too_many(more, comparison.ng):
        yield f"escape rate is {now:.3f}, was {_told(then, interval)}, with {more} more of {comparison.ng} escaped"


def _too_many(more: int, images: int) -> bool:
    return more > max(1, images // ONE_MORE_IN)


def summary(comparison: Comparison) -> str:
    """What was compared, in a line."""
    seen = comparison.baseline.learned_from
    flattered = f", {seen} of them known to model {comparison.baseline.version} from its training" if seen else ""
    return f"{comparison.images} test images of {comparison.dataset}{flattered}"


def verdict(comparison: Comparison) -> str:
    """What came out, in the words before the images that it came out on."""
    if worse(comparison):
        return "worse than"
    return "not proven to be as good as" if unproven(comparison) else "no worse than"


def _told(value: float, interval: Interval) -> str:
    return f"{value:.3f} ({interval[0]:.3f} to {interval[1]:.3f})"

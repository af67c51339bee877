"""Decide by a comparison whether a model may follow the one in production.

It must not be worse, on images that it never learned from. Nor may it pass because there was little to see: see
`unproven`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from services.trainer.promotion.comparison import Comparison
from shared.datasets.coverage import FEW
from shared.intervals import Interval

ONE_MORE_IN: Final = 20
"""One image more in 20 (or one, of fewer) may be judged wrongly, however wide the interval is."""


def objections(comparison: Comparison) -> list[str]:
    """Return why the candidate may not follow the baseline; empty if it may."""
    return [*unproven(comparison), *worse(comparison)]


def unproven(comparison: Comparison) -> list[str]:
    """Return why the comparison proves little, whatever its figures.

    There must be `FEW` images with and `FEW` without each label that makes a part ok or NG: on fewer, a model that
    misses many defects on the line may miss none. Both recipes must agree on what makes a part NG and on what a wrong
    verdict costs: if a defect is none any more, or an escape costs nothing, any model is as good as another. The
    candidate must not have learned from the images, nor from others of their groups, which are alike.
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
    """Return in what the candidate is worse than the baseline beyond the 95 % interval.

    The recall of each label must lie within the baseline's interval or above it, and the escape rate within it or
    below it: the recall of a label that makes a part ok, such as `good`, says nothing of escapes. Where an interval is
    wide because there are few images, neither may be worse by more than one image in `ONE_MORE_IN`. The cost of wrong
    verdicts must not be certainly higher: the interval of the difference, image by image, must include zero. (By the
    bootstrap, a baseline without a mistake has an interval of width zero; by rates, one that hides anything.)
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
            was = _with_interval(before.recall, interval)
            yield f"recall of {name} is {label.recall:.3f}, was {was}, with {more} more of {label.positives} missed"


def _cost(comparison: Comparison) -> Iterator[str]:
    extra = comparison.extra_cost_interval
    if extra and extra[0] > 0:
        now, then = comparison.candidate.evaluation.cost, comparison.baseline.evaluation.cost
        yield f"cost per image is {now:.3f}, was {then:.3f}: more by {_with_interval(comparison.extra_cost, extra)}"


def _escapes(comparison: Comparison) -> Iterator[str]:
    production = comparison.baseline.evaluation
    now, then = comparison.candidate.evaluation.escape_rate, production.escape_rate
    interval = production.intervals.get("escape_rate")
    if now is None or then is None or not interval:
        return
    more = round((now - then) * comparison.ng)
    if now > interval[1] or _too_many(more, comparison.ng):
        before = _with_interval(then, interval)
        yield f"escape rate is {now:.3f}, was {before}, with {more} more of {comparison.ng} escaped"


def _too_many(more: int, images: int) -> bool:
    return more > max(1, images // ONE_MORE_IN)


def summary(comparison: Comparison) -> str:
    """Return what was compared, in a line."""
    seen = comparison.baseline.learned_from
    flattered = f", {seen} of them known to model {comparison.baseline.version} from its training" if seen else ""
    return f"{comparison.images} test images of {comparison.dataset}{flattered}"


def verdict(comparison: Comparison) -> str:
    """Return the result in words that are followed by the baseline."""
    if worse(comparison):
        return "worse than"
    return "not proven to be as good as" if unproven(comparison) else "no worse than"


def _with_interval(value: float, interval: Interval) -> str:
    return f"{value:.3f} ({interval[0]:.3f} to {interval[1]:.3f})"

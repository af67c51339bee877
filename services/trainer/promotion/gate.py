"""Decide by a comparison whether a model may follow the one in production.

It must not be worse, on images that it never learned from. Nor may it pass because there are too few images: see
`proof_objections`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from services.trainer.promotion.comparison import Comparison
from shared.datasets.coverage import FEW
from shared.intervals import Interval

ONE_MORE_IN: Final = 20
"""One more image in 20 (or one image, if there are fewer) may have a wrong verdict, however wide the interval is."""


def objections(comparison: Comparison) -> list[str]:
    """Return why the candidate may not follow the baseline; empty if it may."""
    return [*proof_objections(comparison), *regressions(comparison)]


def proof_objections(comparison: Comparison) -> list[str]:
    """Return why the comparison proves too little, no matter how good its figures are.

    There must be `FEW` images with and `FEW` without each label that makes a part ok or NG: on fewer, a model that
    misses many defects on the line may miss none. Both recipes must agree on what makes a part NG and on what a wrong
    verdict costs: if a defect no longer counts, or an escape costs nothing, any model is as good as another. The
    candidate must not have learned from the images, nor from other images of their groups, which are alike.
    """
    labels = comparison.candidate.evaluation.labels
    counts = {name: (labels[name].positives, labels[name].n - labels[name].positives) for name in comparison.deciding}
    few = [f"{name} ({true} with, {false} without)" for name, (true, false) in counts.items() if min(true, false) < FEW]
    reasons = [*_learned_images(comparison)]
    if few:
        reasons.append(
            f"too few test images of {', '.join(few)}, where {FEW} with and {FEW} without prove something: "
            "train it with a larger test share (option shares; the warnings of its evaluation say which), or label more"
        )
    if comparison.differences:
        reasons.append(f"its recipe judges by another rule: {', '.join(comparison.differences)}")
    return reasons


def regressions(comparison: Comparison) -> list[str]:
    """Return the figures in which the candidate is worse than the baseline, beyond the 95 % interval.

    The recall of each label must lie within the baseline's interval or above it, and the escape rate within it or
    below it: the recall of a label that makes a part ok, such as `good`, says nothing about escapes. Where an interval
    is wide because there are few images, neither may be worse by more than one image in `ONE_MORE_IN`. The cost of
    wrong verdicts must not be certainly higher: the interval of the difference, image by image, must include zero. (A
    bootstrap interval of a baseline without a mistake has no width; an interval of rates would hide any difference.)
    """
    return [*_recall_regressions(comparison), *_cost_regressions(comparison), *_escape_regressions(comparison)]


def _learned_images(comparison: Comparison) -> Iterator[str]:
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


def _recall_regressions(comparison: Comparison) -> Iterator[str]:
    for name, label in comparison.candidate.evaluation.labels.items():
        before = comparison.baseline.evaluation.labels.get(name)
        if before is None or name == comparison.candidate.evaluation.anomaly:
            continue  # a model of good images alone is compared by its verdicts, and an anomaly is no label
        interval = before.intervals.get("recall")
        if label.recall is None or before.recall is None or not interval:
            continue
        more = label.confusion.false_negative - before.confusion.false_negative
        if label.recall < interval[0] or _too_many(more, label.positives):
            was = _with_interval(before.recall, interval)
            yield f"recall of {name} is {label.recall:.3f}, was {was}, with {more} more of {label.positives} missed"


def _cost_regressions(comparison: Comparison) -> Iterator[str]:
    extra = comparison.extra_cost_interval
    if extra and extra[0] > 0:
        now, then = comparison.candidate.evaluation.cost, comparison.baseline.evaluation.cost
        yield f"cost per image is {now:.3f}, was {then:.3f}: more by {_with_interval(comparison.extra_cost, extra)}"


def _escape_regressions(comparison: Comparison) -> Iterator[str]:
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


def describe_images(comparison: Comparison) -> str:
    """Return in one line on which images two models were compared."""
    learned = comparison.baseline.learned_from
    known = f", {learned} of them known to model {comparison.baseline.version} from its training" if learned else ""
    return f"{comparison.images} test images of {comparison.dataset}{known}"


def comparison_result(comparison: Comparison) -> str:
    """Return the result of a comparison, as words that the name of the baseline follows."""
    if regressions(comparison):
        return "worse than"
    return "not proven to be as good as" if proof_objections(comparison) else "no worse than"


def _with_interval(value: float, interval: Interval) -> str:
    return f"{value:.3f} ({interval[0]:.3f} to {interval[1]:.3f})"

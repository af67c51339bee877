"""Measure how good a model is, on images that it was not trained on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from services.trainer.evaluation.calibration import expected_error, reliability
from services.trainer.evaluation.costs import Scores, Truth, is_ng, line_weights, verdict_costs
from services.trainer.evaluation.figures import Confusion, Evaluation, LabelEvaluation
from shared.intervals import Interval, Weights, draws, mean, proportion, spread
from shared.messages import Verdict
from shared.recipe import Recipe
from shared.verdict import judge


def evaluate(recipe: Recipe, truth: Truth, scores: Scores, groups: Sequence[str]) -> Evaluation:
    """Measure a model label by label, and by its verdicts.

    Args:
        recipe: a recipe with the thresholds to judge by.
        truth: the labels of each image.
        scores: the model's scores of each image.
        groups: the group of each image; the images of one group are resampled together.
    """
    judgements = [judge(recipe, row) for row in scores]
    found = np.array([[finding.present for finding in each.findings.values()] for each in judgements])
    samples = draws(groups)
    labels, resampled = {}, []
    for column, label in enumerate(recipe.labels):
        labels[label.name], average_precisions = evaluate_label(
            label.threshold, truth[:, column] > 0, found[:, column], scores[:, column], samples
        )
        resampled.append(average_precisions)
    # the labels that some images have and others lack; a sample that lacks one of them is left out
    given = recipe.without_anomaly.label_names
    measured = [name for name in given if labels[name].is_measured]
    occurring = [each for each, name in zip(resampled, labels, strict=True) if name in measured]
    precisions = [each for name in given if (each := labels[name].average_precision) is not None]
    ng = is_ng(recipe, truth)
    judged_ng = np.array([each.verdict is Verdict.NG for each in judgements])
    escapes, overkills = int((ng & ~judged_ng).sum()), int((~ng & judged_ng).sum())
    images, ng_images = len(ng), int(ng.sum())
    decides = any(label.decides for label in recipe.labels)
    columns = [recipe.label_names.index(name) for name in given]
    all_labels_right = (found[:, columns] == (truth[:, columns] > 0)).all(axis=1)
    right = images - escapes - overkills if decides else int(all_labels_right.sum())
    ok_images = images - ng_images if decides else 0
    weights, costs = line_weights(recipe, ng), verdict_costs(recipe, ng, judged_ng)
    intervals = {
        "verdict_accuracy": proportion(right, images),
        "escape_rate": proportion(escapes, ng_images),
        "overkill_rate": proportion(overkills, ok_images),
        "macro_average_precision": spread(np.mean(occurring, axis=0)) if occurring else None,
        "cost": spread(mean(costs, samples * weights)),
    }
    return Evaluation(
        images=images,
        groups=len(set(groups)),
        ng=ng_images,
        labels=labels,
        anomaly=recipe.anomaly.name if recipe.anomaly else None,
        verdict_accuracy=right / images,
        escape_rate=_ratio(escapes, ng_images),
        overkill_rate=_ratio(overkills, ok_images),
        macro_average_precision=float(np.mean(precisions)) if precisions else None,
        macro_labels=tuple(measured),
        cost=float((costs * weights).mean()),
        intervals=_defined(intervals),
    )


def evaluate_label(
    threshold: float, true: NDArray[np.bool_], found: NDArray[np.bool_], scores: Scores, samples: Weights
) -> tuple[LabelEvaluation, NDArray[np.float64]]:
    """Measure one label.

    Args:
        threshold: the score from which on the label counts as found.
        true: (images,), whether the label is there.
        found: (images,), whether the model found it.
        scores: (images,), 0 to 1.
        samples: (samples, images), how often each image is in each bootstrap sample.

    Returns:
        The figures, and the average precision of each sample, nan in samples without the label.
    """
    hits, alarms = int((true & found).sum()), int((~true & found).sum())
    misses, rest = int((true & ~found).sum()), int((~true & ~found).sum())
    both = true.any() and not true.all()
    bins = reliability(true, scores)
    areas, average_precisions = ranking(true, scores, samples)
    with np.errstate(invalid="ignore"):
        f1 = np.asarray(2 * (samples @ (true & found)) / (samples @ true + samples @ found))
    intervals = {
        "accuracy": proportion(hits + rest, len(true)) if both else None,
        "precision": proportion(hits, hits + alarms),
        "recall": proportion(hits, hits + misses),
        "f1": spread(f1),
        "roc_auc": spread(areas),
        "average_precision": spread(average_precisions) if both else None,
        "brier": spread(mean((scores - true) ** 2, samples)),
    }
    evaluation = LabelEvaluation(
        n=len(true),
        positives=hits + misses,
        threshold=threshold,
        accuracy=(hits + rest) / len(true) if both else None,
        precision=_ratio(hits, hits + alarms),
        recall=_ratio(hits, hits + misses),
        f1=_ratio(2 * hits, 2 * hits + alarms + misses),
        roc_auc=float(roc_auc_score(true, scores)) if both else None,
        average_precision=float(average_precision_score(true, scores)) if both else None,
        brier=float(brier_score_loss(true, np.clip(scores, 0, 1), labels=[False, True])),
        expected_calibration_error=expected_error(bins),
        reliability=bins,
        confusion=Confusion(true_positive=hits, false_positive=alarms, false_negative=misses, true_negative=rest),
        intervals=_defined(intervals),
    )
    return evaluation, average_precisions


def ranking(
    true: NDArray[np.bool_], scores: NDArray[np.float32], weights: Weights
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the area under the ROC curve and the average precision of each bootstrap sample.

    They are scikit-learn's figures, computed for all samples at once.

    Args:
        true: (images,), whether the label is there.
        scores: (images,).
        weights: (samples, images).

    Returns:
        Two arrays of shape (samples,), with nan for samples in which the figure is not defined.
    """
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))  # equal scores are passed together
    hits = np.cumsum(weights[:, order] * true[order], axis=1)[:, ends]
    alarms = np.cumsum(weights[:, order] * ~true[order], axis=1)[:, ends]
    new_hits, new_alarms = np.diff(hits, axis=1, prepend=0), np.diff(alarms, axis=1, prepend=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.nan_to_num(hits / (hits + alarms))
        area = ((hits - new_hits / 2) * new_alarms).sum(axis=1) / (hits[:, -1] * alarms[:, -1])
        average_precision = (precision * new_hits).sum(axis=1) / hits[:, -1]
    return area, average_precision


def macro_average_precision(truth: Truth, scores: Scores) -> float:
    """Return the mean over the labels of the average precision; a label that no image has, or all, is left out.

    Returns:
        0 to 1; 0 if no label is left.
    """
    occurring = np.flatnonzero(truth.any(axis=0) & ~(truth > 0).all(axis=0))
    precisions = [average_precision_score(truth[:, label], scores[:, label]) for label in occurring]
    return float(np.mean(precisions)) if precisions else 0.0


def _defined(intervals: dict[str, Interval | None]) -> dict[str, Interval]:
    return {name: interval for name, interval in intervals.items() if interval}


def _ratio(numerator: int, denominator: int) -> float | None:
    return numerator / denominator if denominator else None


def table_of(evaluation: Evaluation) -> str:
    """Return a table: the accuracy of each label in percent, and how many of the images have the label.

    Of a label that few images have, or lack, the counts stand alone.
    """
    counts = {name: f"{label.positives} of {label.n}" for name, label in evaluation.labels.items()}
    width = max(9, *(len(text) + 2 for text in (*evaluation.labels, *counts.values())))
    names = "".join(f"{name:>{width}}" for name in evaluation.labels)
    shares = "".join(
        f"{100 * label.accuracy:>{width - 2}.1f} %"
        if label.accuracy is not None and label.is_telling
        else f"{'too few' if label.is_measured else 'n/a':>{width}}"
        for label in evaluation.labels.values()
    )
    images = "".join(f"{count:>{width}}" for count in counts.values())
    return f"{'label':<9}{names}\n{'correct':<9}{shares}\n{'have it':<9}{images}"

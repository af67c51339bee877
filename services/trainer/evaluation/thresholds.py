"""Choose the thresholds that cost least on the validation split, and compute what moving one of them would change."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from services.trainer.evaluation.costs import Scores, Truth, is_ng, label_costs, line_weights, verdict_costs
from shared.recipe import Recipe, Task
from shared.verdict import faults_of, judge

FEW: Final = 5
"""With fewer images that have the label, or that lack it, a threshold stays as in the recipe."""
BOUNDS: Final = (0.02, 0.98)
STEPS: Final = 99
"""Number of thresholds of a curve, from 0.01 to 0.99; the chosen threshold is added."""
DIGITS: Final = 5

Weights = NDArray[np.float64]
"""(images,), the weight of each image."""


def choose_thresholds(recipe: Recipe, truth: Truth, scores: Scores) -> Recipe:
    """Return the recipe with the thresholds that cost least, each in the middle of the widest gap between scores.

    An exclusive recipe has no thresholds: the label with the highest score wins.

    Args:
        recipe: has the costs of an escape and an overkill, and the defect rate of the line.
        truth: of the validation split.
        scores: of the validation split.
    """
    if recipe.task is Task.EXCLUSIVE:
        return recipe
    weights = line_weights(recipe, is_ng(recipe, truth))
    labels = []
    for column, label in enumerate(recipe.labels):
        true = truth[:, column] > 0
        if min(true.sum(), (~true).sum()) < FEW:
            labels.append(label)
            continue
        edges, total = cost_curve(true, scores[:, column], weights, *label_costs(label, recipe.costs))
        edges = np.clip(edges, *BOUNDS)
        widths = np.diff(edges)
        least = total[widths > 0].min()
        best = int(np.argmax(np.where(total <= least + 1e-9, widths, -1.0)))
        threshold = round(float((edges[best] + edges[best + 1]) / 2), 4)
        labels.append(label.model_copy(update={"threshold": threshold}))
    return recipe.model_copy(update={"labels": tuple(labels)})


def cost_curve(
    true: NDArray[np.bool_], scores: NDArray[np.float32], weights: Weights, miss: float, alarm: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return each threshold at which the cost changes, and the cost between them.

    Args:
        true: (images,), whether the label is there.
        scores: (images,).
        weights: (images,), the weight of each image.
        miss: cost of a label that is there and not found.
        alarm: cost of a label that is found and not there.

    Returns:
        edges (steps + 1,) from 0 to 1, and the total cost (steps,) of a threshold between two neighbouring edges.
    """
    order = np.argsort(scores, kind="stable")
    passed = np.where(true[order], miss, -alarm) * weights[order]
    total = float(weights[~true].sum()) * alarm + np.concatenate([[0.0], np.cumsum(passed)])
    edges = np.concatenate([[0.0], scores[order].astype(np.float64), [1.0]])
    return edges, total


class OperatingPoints(BaseModel):
    """The curves of one label, with a number for each threshold. A rate is None if there is no such part."""

    model_config = ConfigDict(frozen=True)

    chosen: float
    thresholds: tuple[float, ...]
    label_cost: tuple[float, ...] = Field(
        description="per part, of the label's misses and false alarms: the threshold was chosen by it"
    )
    cost: tuple[float, ...] = Field(description="per part, of the verdicts' escapes and overkills")
    escape_rate: tuple[float | None, ...]
    overkill_rate: tuple[float | None, ...]


def operating_points(recipe: Recipe, truth: Truth, scores: Scores) -> dict[str, OperatingPoints]:
    """Return for each label what moving its threshold would change, while the other thresholds stay.

    An exclusive recipe has no thresholds, and so no curves.

    Args:
        recipe: with the chosen thresholds.
        truth: the labels of each image.
        scores: the model's scores of each image.
    """
    if recipe.task is Task.EXCLUSIVE:
        return {}
    findings = [judge(recipe, row).findings.values() for row in scores]
    faults = np.array([[finding.fault for finding in each] for each in findings], np.bool_)
    ng = is_ng(recipe, truth)
    weights = line_weights(recipe, ng)
    curves = {}
    for column, label in enumerate(recipe.labels):
        true = truth[:, column] > 0
        thresholds = np.union1d(np.linspace(0.01, 0.99, STEPS), [label.threshold])
        found = scores[:, column] >= thresholds[:, np.newaxis]
        other_faults = np.delete(faults, column, axis=1).any(axis=1)
        judged_ng = np.asarray(other_faults | faults_of(label, found), np.bool_)
        miss, alarm = label_costs(label, recipe.costs)
        wrong_labels = np.where(true, miss, alarm) * (found != true)
        curves[label.name] = OperatingPoints(
            chosen=label.threshold,
            thresholds=_rounded(thresholds),
            label_cost=_rounded((wrong_labels * weights).mean(axis=1)),
            cost=_rounded((verdict_costs(recipe, ng, judged_ng) * weights).mean(axis=1)),
            escape_rate=_rates(~judged_ng[:, ng]),
            overkill_rate=_rates(judged_ng[:, ~ng]),
        )
    return curves


def _rates(wrong: NDArray[np.bool_]) -> tuple[float | None, ...]:
    """Return the share of wrong verdicts at each threshold, of an array (thresholds, images)."""
    return _rounded(wrong.mean(axis=1)) if wrong.shape[1] else (None,) * len(wrong)


def _rounded(values: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(np.round(values, DIGITS).tolist())

"""Compute the effect of moving one threshold while the others stay."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from services.trainer.evaluation.costs import Scores, Truth, is_ng, line_weights, verdict_costs
from shared.recipe import Recipe, Task
from shared.verdict import faults_of, judge, ng_by_anomaly, present_labels

STEPS: Final = 99
"""Number of thresholds of a curve, from 0.01 to 0.99; the chosen threshold is added."""
DIGITS: Final = 5


class ThresholdCurve(BaseModel):
    """The curves of one label, with a number for each threshold. A rate is None if there is no NG (or no ok) part."""

    model_config = ConfigDict(frozen=True)

    chosen: float
    thresholds: tuple[float, ...]
    cost: tuple[float, ...] = Field(description="cost of escapes and overkills per part")
    escape_rate: tuple[float | None, ...]
    overkill_rate: tuple[float | None, ...]


def threshold_curves(recipe: Recipe, truth: Truth, scores: Scores) -> dict[str, ThresholdCurve]:
    """Return for each label the effect of moving its threshold while the other thresholds stay.

    An exclusive recipe has no such curves: its labels are compared with each other. Nor has an anomaly, whose threshold
    decides nothing about the labels.

    Args:
        recipe: the recipe with the chosen thresholds.
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
    unlike = ng_by_anomaly(recipe, present_labels(recipe, scores))
    for column, label in enumerate(recipe.without_anomaly.labels):
        thresholds = np.union1d(np.linspace(0.01, 0.99, STEPS), [label.threshold])
        present = scores[:, column] >= thresholds[:, np.newaxis]
        other_faults = np.delete(faults, column, axis=1).any(axis=1)
        judged_ng = np.asarray(other_faults | unlike | faults_of(label, present), np.bool_)
        curves[label.name] = ThresholdCurve(
            chosen=label.threshold,
            thresholds=_round(thresholds),
            cost=_round((verdict_costs(recipe, ng, judged_ng) * weights).mean(axis=1)),
            escape_rate=_rates(~judged_ng[:, ng]),
            overkill_rate=_rates(judged_ng[:, ~ng]),
        )
    return curves


def _rates(wrong: NDArray[np.bool_]) -> tuple[float | None, ...]:
    """Return the share of wrong verdicts at each threshold, of an array (thresholds, images)."""
    return _round(wrong.mean(axis=1)) if wrong.shape[1] else (None,) * len(wrong)


def _round(values: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(np.round(values, DIGITS).tolist())

"""What moving one threshold would change: cost, escapes and overkill, while the others stay where they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from services.trainer.evaluation.evaluate import Scores, Truth, is_ng, line_weights
from services.trainer.evaluation.thresholds import costs_of
from shared.recipe import Label, Recipe, Task
from shared.verdict import faults_of, judge

STEPS: Final = 99
"""Thresholds from 0.01 to 0.99; the chosen one comes besides."""
DIGITS: Final = 5


class OperatingPoints(BaseModel):
    """One label: each list has a number for each threshold. A rate is None where there is no such part."""

    model_config = ConfigDict(frozen=True)

    chosen: float
    thresholds: tuple[float, ...]
    label_cost: tuple[float, ...] = Field(
        description="per part, of this label's misses and false alarms: what chose it"
    )
    cost: tuple[float, ...] = Field(description="per part, of the verdicts' escapes and overkills")
    escape_rate: tuple[float | None, ...]
    overkill_rate: tuple[float | None, ...]


def operating_points(recipe: Recipe, truth: Truth, scores: Scores) -> dict[str, OperatingPoints]:
    """The curve of each label; none for an exclusive recipe, whose highest score wins.

    Args:
        recipe: with the thresholds that were chosen.
        truth: what is in each image.
        scores: what the model says of each.
    """
    if recipe.task is Task.EXCLUSIVE:
        return {}
    findings = [judge(recipe, score).findings.values() for score in scores]
    faults = np.array([[found.fault for found in each] for each in findings], np.bool_)
    ng = is_ng(recipe, truth)
    return {
        label.name: _OneLabel(
            label, truth[:, column] > 0, scores[:, column], np.asarray(np.delete(faults, column, axis=1).any(axis=1))
        ).points(recipe, ng)
        for column, label in enumerate(recipe.labels)
    }


@dataclass(frozen=True)
class _OneLabel:
    """One label of all images, and whether the others make them NG."""

    label: Label
    true: NDArray[np.bool_]
    scores: NDArray[np.float32]
    other_faults: NDArray[np.bool_]

    def points(self, recipe: Recipe, ng: NDArray[np.bool_]) -> OperatingPoints:
        thresholds = np.union1d(np.linspace(0.01, 0.99, STEPS), [self.label.threshold])
        found = self.scores >= thresholds[:, np.newaxis]
        said_ng = self.other_faults | faults_of(self.label, found)
        weights, costs = line_weights(recipe, ng), recipe.costs
        miss, alarm = costs_of(self.label, costs)
        wrong_labels = np.where(self.true, miss, alarm) * (found != self.true)
        wrong_verdicts = np.where(ng, costs.escape, costs.overkill) * (said_ng != ng)
        return OperatingPoints(
            chosen=self.label.threshold,
            thresholds=_rounded(thresholds),
            label_cost=_rounded((wrong_labels * weights).mean(axis=1)),
            cost=_rounded((wrong_verdicts * weights).mean(axis=1)),
            escape_rate=_rates(~said_ng[:, ng]),
            overkill_rate=_rates(said_ng[:, ~ng]),
        )


def _rates(wrong: NDArray[np.bool_]) -> tuple[float | None, ...]:
    """Of (thresholds, images), the share of the images."""
    return _rounded(wrong.mean(axis=1)) if wrong.shape[1] else (None,) * len(wrong)


def _rounded(values: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(np.round(values, DIGITS).tolist())

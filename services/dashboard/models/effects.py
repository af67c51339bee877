"""What thresholds do: escapes and overkill of the whole recipe, counted image by image.

Labels overlap: a part that two of them catch escapes only when both let it go. So effects are counted on the scores of
each image, all thresholds at once, and never added up from the curves of single labels.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isclose
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from services.dashboard.statistics.rates import Rate, rate
from shared.contracts.scores import ScoredSplit, as_array
from shared.messages import Verdict
from shared.recipe import Label, Recipe
from shared.verdict import faults_of, judge

ONE_AT_A_TIME: Final = (
    "this model keeps no scores of single images, so what several moved thresholds do together is not known before "
    "they are saved and measured"
)
OTHERS_STAY: Final = (
    "this model keeps no scores of single images: its curves show one moved threshold, the others as they are"
)


class LabelEffect(BaseModel):
    """One label at a threshold."""

    label: str
    threshold: float
    before: float = Field(description="the threshold of the model as it is")
    positives: int | None = Field(None, description="images that have the label; null: not known")
    misses: int | None = Field(None, description="of them, those in which it would not be found")
    negatives: int | None = None
    false_alarms: int | None = Field(None, description="images without the label in which it would be found")


class Effect(BaseModel):
    """What a set of thresholds does, on the model's validation images."""

    known: bool = Field(description="false: escapes and overkill are not known; `note` says why")
    note: str = Field("", description="what must be known to read this")
    images: int | None
    escapes: Rate | None = Field(description="of the NG parts, those found ok; without an interval, both ends are it")
    overkill: Rate | None = Field(description="of the ok parts, those found NG")
    cost: float | None = Field(description="per part, at the recipe's costs and defect rate")
    labels: list[LabelEffect]


def effect_of(recipe: Recipe, part: ScoredSplit, thresholds: Mapping[str, float]) -> Effect:
    """Judge scored images by other thresholds.

    Args:
        recipe: multi-label, with the thresholds as they are.
        part: its images, a column for each label in the recipe's order.
        thresholds: those that move, by label.
    """
    truth, scores = as_array(part.truth) > 0.5, as_array(part.scores)
    ng = np.array([judge(recipe, row).verdict is Verdict.NG for row in truth.astype(np.float32)], np.bool_)
    found = scores >= np.array([_threshold(label, thresholds) for label in recipe.labels])
    said_ng = np.zeros(len(ng), np.bool_)
    for column, label in enumerate(recipe.labels):
        said_ng |= faults_of(label, found[:, column])
    escapes, overkill = _share(~said_ng[ng]), _share(said_ng[~ng])
    share = recipe.defect_rate if recipe.defect_rate is not None else float(ng.mean())
    of_ng = escapes.value * recipe.costs.escape if escapes else 0.0
    of_ok = overkill.value * recipe.costs.overkill if overkill else 0.0
    return Effect(
        known=True,
        images=len(ng),
        escapes=escapes,
        overkill=overkill,
        cost=share * of_ng + (1 - share) * of_ok,
        labels=[
            _label_effect(label, thresholds, truth[:, column], found[:, column])
            for column, label in enumerate(recipe.labels)
        ],
    )


def effect_of_curves(recipe: Recipe, evaluation: Mapping[str, Any], thresholds: Mapping[str, float]) -> Effect:
    """The same of a model that keeps no scores: from its curves, each of which moves one label alone."""
    moved = [label for label in recipe.labels if not isclose(_threshold(label, thresholds), label.threshold)]
    curves = evaluation.get("operating_points") or {}
    label = moved[0] if moved else recipe.labels[0]
    known = len(moved) < 2 and label.name in curves
    point = _point(curves[label.name], _threshold(label, thresholds)) if known else {}
    return Effect(
        known=known,
        note=OTHERS_STAY if known else ONE_AT_A_TIME,
        images=(evaluation.get("valid") or {}).get("images"),
        escapes=_certain(point.get("escape_rate")),
        overkill=_certain(point.get("overkill_rate")),
        cost=point.get("cost"),
        labels=[
            LabelEffect(label=each.name, threshold=_threshold(each, thresholds), before=each.threshold)
            for each in recipe.labels
        ],
    )


def _threshold(label: Label, thresholds: Mapping[str, float]) -> float:
    return thresholds.get(label.name, label.threshold)


def _label_effect(
    label: Label, thresholds: Mapping[str, float], true: NDArray[np.bool_], found: NDArray[np.bool_]
) -> LabelEffect:
    return LabelEffect(
        label=label.name,
        threshold=_threshold(label, thresholds),
        before=label.threshold,
        positives=int(true.sum()),
        misses=int((true & ~found).sum()),
        negatives=int((~true).sum()),
        false_alarms=int((~true & found).sum()),
    )


def _share(wrong: NDArray[np.bool_]) -> Rate | None:
    return rate(int(wrong.sum()), len(wrong))


def _point(curve: Mapping[str, Any], threshold: float) -> dict[str, float | None]:
    """What a curve says at the threshold that is nearest."""
    place = int(np.argmin(np.abs(np.array(curve["thresholds"]) - threshold)))
    return {name: curve[name][place] for name in ("escape_rate", "overkill_rate", "cost")}


def _certain(value: float | None) -> Rate | None:
    return None if value is None else Rate(value=value, low=value, high=value)

"""Evaluate a model on one set of images, with all that follows from its scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from typing import Final

from services.trainer.evaluation.costs import Scores, Truth, is_ng
from services.trainer.evaluation.evaluate import evaluate
from services.trainer.evaluation.figures import Evaluation
from services.trainer.evaluation.mistakes import Mistake, worst_mistakes
from services.trainer.evaluation.threshold_curves import ThresholdCurve, threshold_curves
from shared.contracts.operating_points import OperatingPoint
from shared.language import gettext
from shared.recipe import Recipe

FEWEST_PARTS: Final = 30
"""Fewest images of ok parts, and of NG parts, for which a test split says something about verdicts."""


class MeasuredOn(StrEnum):
    """The images on which the figures of a model are measured."""

    TEST = "test"
    OUT_OF_FOLD = "out of fold"

    @property
    def in_words(self) -> str:
        if self is MeasuredOn.TEST:
            return gettext("the test split, which was not used for training")
        return gettext(
            "all images of the training and validation split, each scored by a network that did not learn from its "
            "group"
        )


@dataclass(frozen=True)
class EvaluationRun:
    """The scores of a model on one set of images."""

    recipe: Recipe
    """The recipe, with its thresholds."""
    names: Sequence[str]
    """The names of the images."""
    groups: Sequence[str]
    """The groups of the images."""
    truth: Truth
    scores: Scores
    point: OperatingPoint | None = None
    """The operating point of the recipe's thresholds, if these images chose the thresholds. Its rates are
    cross-validated, so they replace the rates of the images themselves."""

    @cached_property
    def evaluation(self) -> Evaluation:
        evaluation = evaluate(self.recipe, self.truth, self.scores, self.groups)
        if self.point is None:
            return evaluation
        rates = self.point.model_dump(include={"verdict_accuracy", "escape_rate", "overkill_rate", "cost"})
        others = {name: interval for name, interval in evaluation.intervals.items() if name not in rates}
        return evaluation.model_copy(update={**rates, "intervals": {**others, **self.point.intervals}})

    @cached_property
    def threshold_curves(self) -> dict[str, ThresholdCurve]:
        return threshold_curves(self.recipe, self.truth, self.scores)

    @property
    def of_labels(self) -> EvaluationRun:
        """Return the run without the anomaly, which is no label that people give."""
        if self.recipe.anomaly is None:
            return self
        return replace(self, recipe=self.recipe.without_anomaly, truth=self.truth[:, :-1], scores=self.scores[:, :-1])

    def worst_mistakes(self, limit: int) -> tuple[Mistake, ...]:
        """Return the costliest mistakes first."""
        return worst_mistakes(self.recipe, self.names, self.groups, self.truth, self.scores, limit=limit)

    @property
    def is_telling(self) -> bool:
        """Return whether there are enough ok and NG parts to say something about verdicts."""
        ng = int(is_ng(self.recipe, self.truth).sum())
        return min(ng, len(self.names) - ng) >= FEWEST_PARTS

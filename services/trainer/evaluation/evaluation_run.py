"""Evaluate a model on one set of images, with all that follows from its scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from services.trainer.evaluation.costs import Scores, Truth
from services.trainer.evaluation.evaluate import evaluate
from services.trainer.evaluation.figures import Evaluation
from services.trainer.evaluation.mistakes import Mistake, worst_mistakes
from services.trainer.evaluation.thresholds import OperatingPoints, operating_points
from shared.recipe import Recipe


@dataclass(frozen=True)
class EvaluationRun:
    """The scores of a model on one set of images."""

    recipe: Recipe
    """With the thresholds to judge by."""
    names: Sequence[str]
    """Of the images."""
    groups: Sequence[str]
    """Of the images."""
    truth: Truth
    scores: Scores

    @cached_property
    def evaluation(self) -> Evaluation:
        return evaluate(self.recipe, self.truth, self.scores, self.groups)

    @cached_property
    def operating_points(self) -> dict[str, OperatingPoints]:
        return operating_points(self.recipe, self.truth, self.scores)

    def worst_mistakes(self, limit: int) -> tuple[Mistake, ...]:
        """Return the costliest mistakes first."""
        return worst_mistakes(self.recipe, self.names, self.groups, self.truth, self.scores, limit=limit)

"""What a model said of some labelled images, and everything that follows from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from services.trainer.datasets.labelled_images import Example
from services.trainer.datasets.pixels import PixelStore, Rows
from services.trainer.evaluation.evaluate import Evaluation, Scores, Truth, evaluate
from services.trainer.evaluation.mistakes import Mistake, worst_mistakes
from services.trainer.evaluation.operating_points import OperatingPoints, operating_points
from shared.recipe import Recipe


@dataclass(frozen=True)
class Examined:
    """A model on one set of images."""

    recipe: Recipe
    """With the thresholds that judge."""
    examples: Sequence[Example]
    store: PixelStore
    rows: Rows
    """Of the examples, in the store."""
    scores: Scores

    @cached_property
    def truth(self) -> Truth:
        """What is in each image."""
        return self.store.labels[self.rows]

    @cached_property
    def evaluation(self) -> Evaluation:
        """How good the model is."""
        return evaluate(self.recipe, self.truth, self.scores, [example.group for example in self.examples])

    def operating_points(self) -> dict[str, OperatingPoints]:
        """What moving a threshold would change."""
        return operating_points(self.recipe, self.truth, self.scores)

    def worst_mistakes(self, most: int) -> tuple[Mistake, ...]:
        """What it got wrong, the costliest first."""
        return worst_mistakes(self.recipe, self.examples, self.truth, self.scores, most)

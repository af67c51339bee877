"""Compare a compiled variant with the network from which it was made."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from shared.recipe import Recipe, Task
from shared.verdict import judge

Scores = NDArray[np.float32]
"""(images, labels), 0 to 1."""


class Equality(BaseModel):
    """How far two networks agree on images that they did not learn from."""

    model_config = ConfigDict(frozen=True)

    images: int = Field(gt=0)
    largest_score_difference: float = Field(ge=0)
    changed_verdicts: int = Field(ge=0)

    @property
    def holds(self) -> bool:
        """Return whether at most one verdict in a thousand changed (one verdict of fewer than a thousand)."""
        return self.changed_verdicts <= max(1, self.images // 1000)

    @property
    def objection(self) -> str:
        """Return why a variant that does not hold must not be used."""
        return (
            f"it changes {self.changed_verdicts} of {self.images} verdicts "
            f"(scores differ by up to {self.largest_score_difference:.3f})"
        )


class Proof(Equality):
    """How far a variant agrees with the trained network on the validation split, and how good it is there."""

    macro_average_precision: float
    moved_by_neighbours: float = Field(
        0.0, description="largest difference between an image's score in a batch and its score alone"
    )
    in_full_precision: str = Field("everything", description="the layers that are not quantised")


class LeftOut(BaseModel):
    """A variant that the bundle does not offer."""

    model_config = ConfigDict(frozen=True)

    reason: str
    proof: Proof


def compare(recipe: Recipe, expected: Scores, found: Scores) -> Equality:
    """Compare the scores of the same images, and the verdicts that follow from them.

    With exclusive labels, another label counts as another verdict, whether or not both are ok. So does an image that is
    unlike anything good by one of the two alone.

    Args:
        recipe: the recipe with the thresholds of the line.
        expected: the scores of the trained network, (images, labels).
        found: the scores of the variant, (images, labels).
    """
    changed = 0
    told = [label.name for label in recipe.labels if recipe.task is Task.EXCLUSIVE or label is recipe.anomaly]
    for before, after in zip(expected, found, strict=True):
        one, other = judge(recipe, before), judge(recipe, after)
        same = all(one.findings[name].present == other.findings[name].present for name in told)
        changed += one.verdict != other.verdict or not same
    return Equality(
        images=len(expected),
        largest_score_difference=float(np.abs(expected - found).max()),
        changed_verdicts=changed,
    )

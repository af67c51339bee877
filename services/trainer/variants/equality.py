"""How near a compiled variant comes to the network that it was made from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from shared.messages import Verdict
from shared.recipe import Recipe, Task
from shared.verdict import Judgement, judge

Scores = NDArray[np.float32]
"""(images, labels), 0 to 1."""


class Equality(BaseModel):
    """Measured on images that the network was not trained on."""

    model_config = ConfigDict(frozen=True)

    images: int = Field(gt=0)
    largest_score_difference: float = Field(ge=0)
    changed_verdicts: int = Field(ge=0)

    @property
    def holds(self) -> bool:
        """Whether at most one verdict in a thousand changed (or one, among fewer images)."""
        return self.changed_verdicts <= max(1, self.images // 1000)


class Proof(Equality):
    """How near a variant comes to the trained network on the validation images, and how good it is there."""

    macro_average_precision: float
    moved_by_neighbours: float = Field(0.0, description="the furthest a score is from that of the image alone")
    in_full_precision: str = Field("everything", description="what is not quantised")


class LeftOut(BaseModel):
    """A variant that the line is not offered."""

    model_config = ConfigDict(frozen=True)

    reason: str
    proof: Proof


def compare(recipe: Recipe, expected: Scores, found: Scores) -> Equality:
    """Compare the scores of the same images, and what the recipe makes of them.

    Where one label of many is true, another one is another verdict, whether or not both are ok.

    Args:
        recipe: with the thresholds that will judge on the line.
        expected: (images, labels), of the trained network.
        found: (images, labels), of the compiled variant.
    """
    changed = sum(
        _verdict(recipe, judge(recipe, before)) != _verdict(recipe, judge(recipe, after))
        for before, after in zip(expected, found, strict=True)
    )
    return Equality(
        images=len(expected),
        largest_score_difference=float(np.abs(expected - found).max()),
        changed_verdicts=changed,
    )


def changed_verdicts_told(proof: Equality) -> str:
    """Why a variant that does not hold must not be used."""
    return (
        f"it changes {proof.changed_verdicts} of {proof.images} verdicts "
        f"(scores differ by up to {proof.largest_score_difference:.3f})"
    )


def _verdict(recipe: Recipe, judged: Judgement) -> tuple[Verdict, tuple[str, ...]]:
    chosen = [name for name, found in judged.findings.items() if found.present]
    return judged.verdict, tuple(chosen) if recipe.task is Task.EXCLUSIVE else ()

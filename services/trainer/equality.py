"""How near a compiled form comes to the network that it was made from."""

from __future__ import annotations

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from shared.messages import Verdict
from shared.recipe import Recipe, Task
from shared.verdict import Judgement, judge, scores_of
from shared.vision.engine import Logits


class Equality(BaseModel):
    """Measured on pictures that the network was not trained on."""

    model_config = ConfigDict(frozen=True)

    pictures: int = Field(gt=0)
    largest_score_difference: float = Field(ge=0)
    changed_verdicts: int = Field(ge=0)

    @property
    def holds(self) -> bool:
        """Whether at most one verdict in a thousand changed (or one, among fewer pictures)."""
        return self.changed_verdicts <= max(1, self.pictures // 1000)


def compare(recipe: Recipe, trained: Logits, compiled: Logits) -> Equality:
    """Compare the logits of the same pictures: by their scores, and by what the recipe makes of them.

    Where one label of many is true, another one is another verdict, whether or not both are ok.

    Args:
        recipe: with the thresholds that will judge on the line.
        trained: (pictures, labels), of the trained network.
        compiled: (pictures, labels), of the compiled form.
    """
    expected, found = scores_of(trained, recipe.task), scores_of(compiled, recipe.task)
    changed = sum(
        _verdict(recipe, judge(recipe, before)) != _verdict(recipe, judge(recipe, after))
        for before, after in zip(expected, found, strict=True)
    )
    return Equality(
        pictures=len(expected),
        largest_score_difference=float(np.abs(expected - found).max()),
        changed_verdicts=changed,
    )


def _verdict(recipe: Recipe, judged: Judgement) -> tuple[Verdict, tuple[str, ...]]:
    chosen = [name for name, found in judged.findings.items() if found.present]
    return judged.verdict, tuple(chosen) if recipe.task is Task.EXCLUSIVE else ()

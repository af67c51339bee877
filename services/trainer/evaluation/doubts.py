"""Find the labels that are most likely wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from services.trainer.evaluation.costs import Scores, Truth
from services.trainer.evaluation.operating_points import calibrated
from shared.recipe import Recipe

LIKELY: Final = 0.1
"""A label whose value has at least this probability is not doubtful."""


class DoubtfulLabel(BaseModel):
    """A label of an image whose value a network that did not learn from the image finds improbable."""

    model_config = ConfigDict(frozen=True)

    name: str = Field(description="of the image")
    label: str
    labelled: bool = Field(description="the value that it has")
    probability: float = Field(description="of this value")


def doubtful_labels(
    recipe: Recipe, names: Sequence[str], truth: Truth, scores: Scores, limit: int
) -> tuple[DoubtfulLabel, ...]:
    """Return the labels with the least probable values, the least probable first.

    Args:
        recipe: has the labels.
        names: of the images.
        truth: (images, labels), as they are labelled.
        scores: of a network that did not learn from the images.
        limit: the largest number of labels.
    """
    found = np.where(truth > 0, (likely := calibrated(recipe, truth, scores).probabilities(scores)), 1 - likely)
    order = np.argsort(found, axis=None, kind="stable")[:limit]
    places = [np.unravel_index(each, found.shape) for each in order]
    return tuple(
        DoubtfulLabel(
            name=names[row],
            label=recipe.label_names[column],
            labelled=bool(truth[row, column]),
            probability=round(float(found[row, column]), 4),
        )
        for row, column in places
        if found[row, column] < LIKELY
    )

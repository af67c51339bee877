"""Find the labels that are most likely wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from services.trainer.evaluation.costs import Scores, Truth
from services.trainer.evaluation.threshold_choice import fit_calibrations
from shared.recipe import Recipe

DOUBTFUL_BELOW: Final = 0.1
"""Probability of a label's value below which the label is doubtful."""


class DoubtfulLabel(BaseModel):
    """A label of an image whose value a network that did not learn from the image finds improbable."""

    model_config = ConfigDict(frozen=True)

    name: str = Field(description="name of the image")
    label: str
    labelled: bool = Field(description="the value of the label")
    probability: float = Field(description="probability of this value")


def doubtful_labels(
    recipe: Recipe, names: Sequence[str], truth: Truth, scores: Scores, limit: int
) -> tuple[DoubtfulLabel, ...]:
    """Return the labels with the least probable values, the least probable first.

    Args:
        recipe: has the labels.
        names: the names of the images.
        truth: (images, labels), as the images are labelled.
        scores: scores by a network that did not learn from the images.
        limit: the largest number of labels to return.
    """
    present = fit_calibrations(recipe, truth, scores).probabilities(scores)
    probabilities = np.where(truth > 0, present, 1 - present)
    order = np.argsort(probabilities, axis=None, kind="stable")[:limit]
    cells = [np.unravel_index(index, probabilities.shape) for index in order]
    return tuple(
        DoubtfulLabel(
            name=names[row],
            label=recipe.label_names[column],
            labelled=bool(truth[row, column]),
            probability=round(float(probabilities[row, column]), 4),
        )
        for row, column in cells
        if probabilities[row, column] < DOUBTFUL_BELOW
    )

"""Compute the cost of escapes and overkills, by the recipe's costs and the defect rate of the line."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from shared.recipe import Costs, Label, Recipe
from shared.verdict import ng_images, present_labels

Truth = NDArray[np.float32]
"""(images, labels), 0 or 1."""
Scores = NDArray[np.float32]
"""(images, labels), 0 to 1."""


def is_ng(recipe: Recipe, scores: Truth | Scores) -> NDArray[np.bool_]:
    """Return for each image whether its verdict is NG, (images,); with the truth as scores, whether its part is NG."""
    return ng_images(recipe, present_labels(recipe, scores))


def verdict_costs(recipe: Recipe, ng: NDArray[np.bool_], judged_ng: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the cost of each verdict, 0 for a right verdict.

    Args:
        recipe: has the costs of an escape and of an overkill.
        ng: (images,), which images show an NG part.
        judged_ng: (…, images), which images have the verdict NG.

    Returns:
        The shape of ``judged_ng``.
    """
    return np.asarray(np.where(ng, recipe.costs.escape, recipe.costs.overkill) * (judged_ng != ng), np.float64)


def line_weights(recipe: Recipe, ng: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return a weight for each image, so that NG images have the share that they have on the line.

    Datasets hold far more defects than the line shows. On a line where one part in fifty is NG, the threshold that
    costs least on such a dataset would cause far too much overkill (Elkan 2001, "The Foundations of Cost-Sensitive
    Learning").

    Args:
        recipe: its ``defect_rate`` is the share of NG parts; without a defect rate, each weight is 1.
        ng: (images,), which images show an NG part.

    Returns:
        (images,), with a mean of 1.
    """
    if recipe.defect_rate is None or ng.all() or not ng.any():
        return np.ones(len(ng))
    return np.asarray(
        np.where(ng, recipe.defect_rate / ng.mean(), (1 - recipe.defect_rate) / (1 - ng.mean())), np.float64
    )


def label_costs(label: Label, costs: Costs) -> tuple[float, float]:
    """Return the cost of a miss (the image has the label, the model says no) and of a false alarm of one label.

    A missed defect is an escape; a missed quality of a good part is an overkill. For a label that does not decide the
    verdict, both cost the same.
    """
    if not label.decides:
        return 1.0, 1.0
    return (costs.overkill, costs.escape) if label.is_fault_if_absent else (costs.escape, costs.overkill)

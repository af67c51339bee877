"""Where a score becomes a yes: what a miss and a false alarm cost decides it, on the validation part."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.trainer.evaluation.evaluate import Scores, Truth, is_ng, line_weights
from shared.recipe import Costs, Label, Recipe, Role, Task

FEW: Final = 5
"""Images with (or without) a label below which its threshold stays as the recipe says."""
BOUNDS: Final = (0.02, 0.98)

Weights = NDArray[np.float64]
"""(images,), what each counts."""


def choose_thresholds(recipe: Recipe, truth: Truth, scores: Scores) -> Recipe:
    """The recipe with the thresholds that cost least. An exclusive recipe has none: its highest score wins.

    Args:
        recipe: says what an escape and an overkill cost, and how rare a defect is on the line.
        truth: of the validation part.
        scores: of the validation part.
    """
    if recipe.task is Task.EXCLUSIVE:
        return recipe
    weights = line_weights(recipe, is_ng(recipe, truth))
    labels = tuple(
        label.model_copy(
            update={"threshold": _threshold(recipe, label, truth[:, column] > 0, scores[:, column], weights)}
        )
        for column, label in enumerate(recipe.labels)
    )
    return recipe.model_copy(update={"labels": labels})


def costs_of(label: Label, costs: Costs) -> tuple[float, float]:
    """What it costs to miss a label that is there, and to find one that is not.

    To miss a defect lets an NG part escape; to miss the good in a good part is overkill. A label that decides nothing
    has equal costs.
    """
    if label.role is Role.ATTRIBUTE and label.expected is None:
        return 1.0, 1.0
    makes_ok = label.role is Role.QUALITY or label.expected is True
    return (costs.overkill, costs.escape) if makes_ok else (costs.escape, costs.overkill)


def cost_curve(
    true: NDArray[np.bool_], scores: NDArray[np.float32], weights: Weights, miss: float, alarm: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Every threshold at which the cost changes.

    Args:
        true: (images,), whether the label is there.
        scores: (images,).
        weights: (images,), what each image counts.
        miss: cost of a label that is there and not found.
        alarm: cost of a label that is found and not there.

    Returns:
        edges (steps + 1,) from 0 to 1, and the total cost (steps,) of a threshold between each two of them.
    """
    order = np.argsort(scores, kind="stable")
    passed = np.where(true[order], miss, -alarm) * weights[order]
    total = float(weights[~true].sum()) * alarm + np.concatenate([[0.0], np.cumsum(passed)])
    edges = np.concatenate([[0.0], scores[order].astype(np.float64), [1.0]])
    return edges, total


def _threshold(
    recipe: Recipe, label: Label, true: NDArray[np.bool_], scores: NDArray[np.float32], weights: Weights
) -> float:
    """The middle of the widest gap between scores in which a threshold costs least."""
    if min(true.sum(), (~true).sum()) < FEW:
        return label.threshold
    edges, total = cost_curve(true, scores, weights, *costs_of(label, recipe.costs))
    edges = np.clip(edges, *BOUNDS)
    widths = np.diff(edges)
    least = total[widths > 0].min()
    best = int(np.argmax(np.where(total <= least + 1e-9, widths, -1.0)))
    return round(float((edges[best] + edges[best + 1]) / 2), 4)

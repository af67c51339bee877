"""Estimate how much more images would improve a model, from models of parts of the images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from services.trainer.evaluation.figures import LabelCurve, LearningCurve
from services.trainer.training.last_layer import FittedByFolds, score_out_of_fold
from shared.engines.port import Logits
from shared.recipe import Task
from shared.verdict import scores_of

SHARES: Final = (0.25, 0.5)
"""Shares of the groups of the other folds that are learned from; the last point of the curve is all groups."""
FEWEST: Final = 5
"""Least images with and without a label for a curve of the label; the first part would have one or two of fewer."""
SMALLEST_ERROR: Final = 1e-3
"""Least error (one minus average precision) that is assumed, because a logarithm is taken."""
DIGITS: Final = 4
"""Decimal digits of the average precision."""


def learning_curve(
    names: Sequence[str],
    truth: NDArray[np.float32],
    folds: NDArray[np.int64],
    groups: Sequence[str],
    *,
    fitted: FittedByFolds,
    task: Task,
) -> LearningCurve | None:
    """Fit the last layer to parts of the groups, and extrapolate its error out of fold.

    The error (one minus the average precision) is assumed to be a power of the number of images (Hestness et al. 2017,
    arXiv 1712.00409).

    Args:
        names: the names of the labels.
        truth: (images, labels), 0 or 1.
        folds: (images,), the fold of each image.
        groups: the group of each image; a part consists of whole groups.
        fitted: the result of `fit_by_folds` for all images.
        task: the task of the recipe.

    Returns:
        None if every label has too few images, or there are too few groups for parts of different size.
    """
    positives = truth.sum(axis=0)
    columns = [column for column, count in enumerate(positives) if FEWEST <= count <= len(truth) - FEWEST]
    if not columns:
        return None
    wholes = _parts(folds, groups, 1.0)
    images, scored = [], []
    for share in SHARES:
        parts = _parts(folds, groups, share)
        images.append(_images_learned(parts))
        scored.append(
            score_out_of_fold(fitted.values, truth, folds, task, regularisation=fitted.regularisation, learned=parts)
        )
    images.append(_images_learned(wholes))
    if images[0] == images[-1]:
        return None
    precisions = np.array([_precisions(logits, truth, task, columns) for logits in (*scored, fitted.out_of_fold)])
    curves = {}
    for column, precision in zip(columns, precisions.T, strict=True):
        errors = np.maximum(1 - precision, SMALLEST_ERROR)
        slope = min(0.0, float(np.polyfit(np.log(images), np.log(errors), 1)[0]))
        curves[names[column]] = LabelCurve(
            average_precision=tuple(np.round(precision, DIGITS).tolist()),
            at_twice=round(float(1 - (1 - precision[-1]) * 2**slope), DIGITS),
        )
    return LearningCurve(images=tuple(images), labels=curves)


def _parts(folds: NDArray[np.int64], groups: Sequence[str], share: float) -> NDArray[np.bool_]:
    """Return the images that are learned from for each fold, (folds, images): of a share of the groups of other folds.

    They are of one group at least. A smaller share is a part of a larger one.
    """
    names, members = np.unique(np.asarray(groups), return_inverse=True)
    drawn = np.random.default_rng(0).permutation(len(names))
    parts = []
    for fold in np.unique(folds):
        others = drawn[np.isin(drawn, members[folds != fold])]
        parts.append(np.isin(members, others[: max(1, round(share * len(others)))]))
    return np.array(parts)


def _images_learned(parts: NDArray[np.bool_]) -> int:
    return round(float(parts.sum(axis=1).mean()))


def _precisions(logits: Logits, truth: NDArray[np.float32], task: Task, columns: Sequence[int]) -> list[float]:
    scores = scores_of(logits, task)
    return [float(average_precision_score(truth[:, column], scores[:, column])) for column in columns]

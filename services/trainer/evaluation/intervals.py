"""How sure a measured number is: 95 % intervals."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from shared.intervals import CONFIDENCE, Interval, Weights


def proportion(successes: int, trials: int) -> Interval | None:
    """Wilson's interval of a share (1927, doi 10.1080/01621459.1927.10502953); None of no trials."""
    if not trials:
        return None
    found = binomtest(successes, trials).proportion_ci(CONFIDENCE, method="wilson")
    return float(found.low), float(found.high)


def f1(true: NDArray[np.bool_], found: NDArray[np.bool_], weights: Weights) -> NDArray[np.float64]:
    """The F1 score of each sample: (samples,)."""
    with np.errstate(invalid="ignore"):
        return np.asarray(2 * (weights @ (true & found)) / (weights @ true + weights @ found))


def ranking(
    true: NDArray[np.bool_], scores: NDArray[np.float32], weights: Weights
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The area under the ROC curve and the average precision of each sample.

    The same numbers as scikit-learn's for one set of weights, for all samples at once.

    Args:
        true: (images,), whether the label is there.
        scores: (images,).
        weights: (samples, images).

    Returns:
        Two times (samples,); nan where it is not defined.
    """
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))  # equal scores are passed together
    hits = np.cumsum(weights[:, order] * true[order], axis=1)[:, ends]
    alarms = np.cumsum(weights[:, order] * ~true[order], axis=1)[:, ends]
    new_hits, new_alarms = np.diff(hits, axis=1, prepend=0), np.diff(alarms, axis=1, prepend=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.nan_to_num(hits / (hits + alarms))
        area = ((hits - new_hits / 2) * new_alarms).sum(axis=1) / (hits[:, -1] * alarms[:, -1])
        average_precision = (precision * new_hits).sum(axis=1) / hits[:, -1]
    return area, average_precision

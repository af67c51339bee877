"""Turn the scores of a label into probabilities, and back.

After Platt 1999, "Probabilistic Outputs for Support Vector Machines".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

Numbers = NDArray[np.float64]

FEWEST_IMAGES: Final = 5
"""If fewer images have or lack the label, only the mean of the probabilities is fitted."""
SMALLEST_PROBABILITY: Final = 1e-6
"""Smallest score or probability; the largest is one minus this number."""
SMALLEST_SLOPE: Final = 0.1
"""Slope for a label whose scores hardly tell which images have it: a higher score must mean a higher probability."""
UNREGULARISED: Final = 1e6


@dataclass(frozen=True)
class Calibration:
    """A straight line from the logit of a score to the logit of a probability."""

    slope: float
    offset: float

    def probabilities(self, scores: NDArray[np.floating]) -> Numbers:
        """Return the probability of each score."""
        logits = self.slope * logit(_clip(scores)) + self.offset
        return _clip(expit(logits))

    def score_of(self, probability: float) -> float:
        """Return the score that has a probability."""
        return float(expit((logit(probability) - self.offset) / self.slope))


def calibrate(scores: NDArray[np.floating], true: NDArray[np.bool_]) -> Calibration:
    """Fit the calibration of one label.

    The shares of images with and without the label are moved a little towards each other, as Platt does, so that few
    images do not lead to certainty. With fewer than `FEWEST_IMAGES` images of one kind the slope is 1: only the mean of
    the probabilities is fitted to the share of images that have the label.

    Args:
        scores: (images,), 0 to 1, of images that the network did not learn from.
        true: (images,), which images have the label.
    """
    positives, negatives = int(true.sum()), int((~true).sum())
    logits = logit(_clip(scores))
    if min(positives, negatives) < FEWEST_IMAGES:
        return Calibration(1.0, _offset(logits, positives, negatives))
    weights = np.where(true, (positives + 1) / (positives + 2), (negatives + 1) / (negatives + 2))
    with threadpool_limits(1, user_api="blas"):  # the steps are too short for threads, which would wait for each other
        fitted = LogisticRegression(C=UNREGULARISED).fit(
            np.tile(logits, 2)[:, np.newaxis],
            np.concatenate([true, ~true]),
            np.concatenate([weights, 1 - weights]),
        )
    slope = float(fitted.coef_[0, 0])
    if slope < SMALLEST_SLOPE:
        return Calibration(SMALLEST_SLOPE, _offset(SMALLEST_SLOPE * logits, positives, negatives))
    return Calibration(slope, float(fitted.intercept_[0]))


def _offset(logits: Numbers, positives: int, negatives: int) -> float:
    """Return the number to add to logits so that the mean of their probabilities is the share of positives."""
    share = (positives + 0.5) / (positives + negatives + 1)
    return float(brentq(lambda offset: expit(logits + offset).mean() - share, -60, 60))


def _clip(values: NDArray[np.floating]) -> Numbers:
    return np.clip(np.asarray(values, np.float64), SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)

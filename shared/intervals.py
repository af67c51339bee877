"""Compute 95 % intervals: of shares by Wilson's formula, of other figures by bootstrapping images, group by group."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import Final

import numpy as np
from numpy.typing import NDArray

CONFIDENCE: Final = 0.95
Z95: Final = 1.959963984540054
"""The 97.5th percentile of the normal distribution: a two-sided interval of 95 %."""
RESAMPLES: Final = 200
FEW_GROUPS: Final = 8
"""Below this number of groups, single images are drawn: a handful of groups is not a sample of groups."""

Interval = tuple[float, float]
"""Low and high."""
Weights = NDArray[np.float64]
"""(samples, images): the number of times that each image is in each sample."""


def proportion(hits: int, trials: int) -> Interval | None:
    """Return Wilson's interval of a share (1927, doi 10.1080/01621459.1927.10502953); None if there are no trials.

    Unlike the textbook interval it holds for rare hits, and never leaves 0 to 1.

    Raises:
        ValueError: there are more hits than trials, or a number is negative.
    """
    if not 0 <= hits <= trials:
        raise ValueError(f"{hits} of {trials} is no share")
    if trials == 0:
        return None
    share, weight = hits / trials, Z95**2 / trials
    centre = (share + weight / 2) / (1 + weight)
    reach = Z95 / (1 + weight) * sqrt(share * (1 - share) / trials + weight / (4 * trials))
    low = 0.0 if hits == 0 else max(0.0, centre - reach)
    high = 1.0 if hits == trials else min(1.0, centre + reach)
    return low, high


def draws(groups: Sequence[str], seed: int = 0) -> Weights:
    """Draw bootstrap samples with replacement, groups as a whole, because the images of a group are alike.

    Returns:
        (samples, images): the number of times that each image was drawn.
    """
    rng = np.random.default_rng(seed)
    names, members = np.unique(np.asarray(groups), return_inverse=True)
    if len(names) < FEW_GROUPS:
        names, members = np.arange(len(members)), np.arange(len(members))
    drawn = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=RESAMPLES)
    return np.asarray(drawn[:, members], np.float64)


def spread(values: NDArray[np.float64]) -> Interval | None:
    """Return the middle 95 % of a number over the samples where it is not nan; None if it is nan in all of them."""
    defined = values[~np.isnan(values)]
    if not len(defined):
        return None
    low, high = np.quantile(defined, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def mean(values: NDArray[np.floating], weights: Weights) -> NDArray[np.float64]:
    """Return the mean over the images of each sample: (samples,)."""
    return np.asarray(weights @ values / weights.sum(axis=1))

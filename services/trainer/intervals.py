"""How sure a measured number is: 95 % intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

CONFIDENCE: Final = 0.95
RESAMPLES: Final = 200
FEW_GROUPS: Final = 8
"""Below so many groups, single pictures are drawn: a handful of groups says nothing about groups."""

Interval = tuple[float, float]
"""Low and high."""


def proportion(successes: int, trials: int) -> Interval | None:
    """Wilson's interval of a share (1927, doi 10.1080/01621459.1927.10502953); None of no trials."""
    if not trials:
        return None
    found = binomtest(successes, trials).proportion_ci(CONFIDENCE, method="wilson")
    return float(found.low), float(found.high)


def draws(groups: Sequence[str], seed: int = 0) -> list[NDArray[np.int64]]:
    """Bootstrap samples: rows drawn with replacement, a group as a whole, since its pictures are alike."""
    rng = np.random.default_rng(seed)
    names, members = np.unique(np.asarray(groups), return_inverse=True)
    if len(names) < FEW_GROUPS:
        return [rng.integers(0, len(members), len(members)) for _ in range(RESAMPLES)]
    by_group = np.split(np.argsort(members, kind="stable"), np.cumsum(np.bincount(members))[:-1])
    return [
        np.concatenate([by_group[number] for number in rng.integers(0, len(names), len(names))])
        for _ in range(RESAMPLES)
    ]


def bootstrap(statistic: Callable[[NDArray[np.int64]], float | None], rows: list[NDArray[np.int64]]) -> Interval | None:
    """The middle 95 % of a statistic over the samples in which it is defined; None where it never is."""
    found = [value for sample in rows if (value := statistic(sample)) is not None]
    if not found:
        return None
    low, high = np.quantile(found, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)

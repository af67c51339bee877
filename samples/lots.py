"""Drawing lots."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")


def chance(rng: np.random.Generator, probability: float) -> bool:
    """True in that share of the draws, 0..1."""
    return bool(rng.random() < probability)


def one_of(rng: np.random.Generator, choices: Sequence[T]) -> T:
    """One of `choices`, each as likely."""
    return choices[int(rng.integers(len(choices)))]


def side(rng: np.random.Generator) -> float:
    """Up, -1, or down, 1."""
    return one_of(rng, (-1.0, 1.0))

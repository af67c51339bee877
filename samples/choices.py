"""Choose at random."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")


def chance(rng: np.random.Generator, probability: float) -> bool:
    """Return True with this probability, 0 to 1."""
    return bool(rng.random() < probability)


def one_of(rng: np.random.Generator, choices: Sequence[T]) -> T:
    """Return one of `choices`, all equally likely."""
    return choices[int(rng.integers(len(choices)))]


def side(rng: np.random.Generator) -> float:
    """Return -1 (up) or 1 (down)."""
    return one_of(rng, (-1.0, 1.0))

"""Whether a network says the same of an image, whatever else is in its batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from shared.engines.port import Images, Logits
from shared.imaging.preprocessing import prepare
from shared.recipe import Recipe
from shared.verdict import scores_of

SAME_SCORE: Final = 0.01
"""How far a score may move with the size of the batch: by rounding, and not by looking at the neighbours."""
NOISE_SIDE: Final = 64


def moved_by_neighbours(ask: Callable[[Images], Logits], recipe: Recipe, images: Images) -> float:
    """How far the scores of a batch are from those of its images alone, at most.

    An engine may take another kernel for a batch of one, and in eight bits that can be another network.

    Args:
        ask: the network.
        recipe: its task.
        images: (frames, height, width, channels), at least two.

    Returns:
        0 to 1.
    """
    together = scores_of(ask(images), recipe.task)
    alone = scores_of(np.concatenate([ask(images[row : row + 1]) for row in range(len(images))]), recipe.task)
    return float(np.abs(together - alone).max())


def noise(recipe: Recipe, count: int) -> Images:
    """Images of nothing, as the recipe prepares them; the same ones each time."""
    drawn = np.random.default_rng(0).integers(0, 256, (count, NOISE_SIDE, NOISE_SIDE, 3), np.uint8)
    return np.stack([prepare(image, recipe.image) for image in drawn])

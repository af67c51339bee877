"""Check that the scores of an image do not depend on the other images of its batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from shared.engines.port import Images, Logits
from shared.imaging.preprocessing import normalise, resize
from shared.recipe import Recipe
from shared.verdict import scores_by

SAME_SCORE: Final = 0.01
"""Largest accepted difference of a score between batch sizes: rounding, but not the influence of other images."""
NOISE_SIDE: Final = 64


def moved_by_neighbours(ask: Callable[[Images], Logits], recipe: Recipe, images: Images) -> float:
    """Return the largest difference between the scores in a batch and the scores of each image alone, 0 to 1.

    An engine may use another kernel for a batch of one, and with int8 this may change the scores.

    Args:
        ask: the network.
        recipe: its task.
        images: (frames, height, width, channels), at least two.
    """
    together = scores_by(recipe, ask(images))
    alone = scores_by(recipe, np.concatenate([ask(images[row : row + 1]) for row in range(len(images))]))
    return float(np.abs(together - alone).max())


def noise(recipe: Recipe, count: int) -> Images:
    """Return random images as the recipe prepares them; always the same ones."""
    drawn = np.random.default_rng(0).integers(0, 256, (count, NOISE_SIDE, NOISE_SIDE, 3), np.uint8)
    pixels = [resize(image, recipe.image) for image in drawn]
    if recipe.image.reference:  # each beside its mirror image
        pixels = [np.concatenate([image, image[:, ::-1]], axis=2) for image in pixels]
    return np.stack([normalise(image, recipe.image) for image in pixels])

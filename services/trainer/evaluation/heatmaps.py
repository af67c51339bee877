"""Measure how far the heatmaps of a trained network can be trusted, if its dataset has masks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import keras

from shared.datasets.labelled_images import Example
from shared.explain.cam import subject_of
from shared.explain.masks import MarkedImage, masks_of
from shared.explain.metrics import HeatmapScores, score_heatmaps
from shared.explain.network import target_layer_of
from shared.recipe import Recipe

MOST: Final = 100
"""Images per label: enough for an interval, and a minute on one core."""
CURVES: Final = 8


def heatmap_scores(network: keras.Model, recipe: Recipe, held_out: Iterable[Example]) -> HeatmapScores | None:
    """Compare a network's heatmaps with the masks beside its images.

    Args:
        network: the trained network.
        recipe: of the network, its labels in the order of the examples' labels.
        held_out: images that the network was not trained on.

    Returns:
        The scores; None if no image has a mask.
    """
    marked = []
    for example in held_out:
        true = [name for name, value in zip(recipe.label_names, example.labels, strict=True) if value]
        if masks := masks_of(dict(example.masks), example.name, true, recipe):
            marked.append(MarkedImage(example.image, example.group, masks))
    if not marked:
        return None
    return score_heatmaps(
        subject_of(network, recipe, target_layer_of(network, recipe)), marked, most=MOST, most_curves=CURVES
    )

"""How far the heatmaps of a trained network can be trusted: measured where its data set has masks."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import keras

from services.trainer.datasets.labelled_images import Example
from shared.explain.gradients import subject_of
from shared.explain.masks import MarkedImage, masks_of
from shared.explain.network import target_layer_of
from shared.explain.scores import HeatmapScores
from shared.explain.scoring import score_heatmaps
from shared.recipe import Recipe

MOST: Final = 100
"""Images per label: enough for an interval, and a minute on one core."""
CURVES: Final = 8


def heatmap_scores(
    network: keras.Model, recipe: Recipe, folder: Path, held_back: Iterable[Example]
) -> HeatmapScores | None:
    """Hold a network's heatmaps to the masks beside its images.

    Args:
        network: trained.
        recipe: of the network, its labels in the order of the examples'.
        folder: of the data set.
        held_back: images that the network was not trained on.

    Returns:
        The scores; None where no image has a mask.
    """
    marked = [image for example in held_back if (image := _marked(example, recipe, folder)).masks]
    if not marked:
        return None
    return score_heatmaps(
        subject_of(network, recipe, target_layer_of(network, recipe)), marked, most=MOST, most_curves=CURVES
    )


def _marked(example: Example, recipe: Recipe, folder: Path) -> MarkedImage:
    true = [name for name, value in zip(recipe.label_names, example.labels, strict=True) if value]
    return MarkedImage(example.image, example.group, masks_of(folder, example.name, true, recipe))

"""Choose, scale and measure the heatmaps of a trained network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import keras
import numpy as np
from pydantic import JsonValue

from services.trainer.datasets.pixels import PixelStore
from services.trainer.evaluation.evaluation_run import EvaluationRun
from services.trainer.heatmaps.choice import Choice, choose_heatmaps
from services.trainer.heatmaps.held_out_layers import HeldOutRows
from services.trainer.heatmaps.scale import add_scales
from shared.contracts.bundle import HeatmapSpec
from shared.datasets.labelled_images import Example
from shared.explain.masks import MarkedImage, masks_of
from shared.explain.metrics import HeatmapScores, score_heatmaps
from shared.explain.probes import subject_of
from shared.recipe import Recipe

MOST_IMAGES_PER_LABEL: Final = 100
"""Images with masks on which the heatmaps of a label are measured: enough for an interval, and a minute on one core."""
MOST_CURVES_PER_LABEL: Final = 8
"""Images with masks for which the deletion and insertion curves of a label are computed."""


@dataclass(frozen=True)
class HeatmapEvaluation:
    """How the heatmaps of a model are computed, and how good they are."""

    choice: Choice
    spec: HeatmapSpec
    """The method, the layers and the scale of each label."""
    scores: HeatmapScores

    def document(self) -> dict[str, JsonValue]:
        """Return the heatmaps' part of `evaluation.json`.

        It has the scores, and the share of known defects at which each tried method and layer points.
        """
        tried: list[JsonValue] = [
            {"method": option.method, "layers": [*option.layers], "pointing": pointing}
            for option, pointing in self.choice.tried.items()
        ]
        return {**self.scores.model_dump(mode="json"), "defects": self.choice.defect_count, "tried": tried}


def make_heatmaps(
    network: keras.Model,
    store: PixelStore,
    examples: Sequence[Example],
    *,
    selection_images: HeldOutRows,
    evaluation_images: HeldOutRows,
    runs: Sequence[EvaluationRun],
) -> HeatmapEvaluation:
    """Choose, scale and measure the heatmaps of a network.

    The heatmap of an anomaly beside the labels is the map of distances: it is scaled, and there is nothing to choose.

    Args:
        network: the trained network, from images to the logits of the labels.
        store: the images.
        examples: the labelled images, by row of the store.
        selection_images: images that choose the method and the layers.
        evaluation_images: other images, on which the heatmaps are measured.
        runs: evaluation runs whose scores are held out or out of fold; their scores set the scale.

    Raises:
        BundleError: the network has no layer for heatmaps.
        UnreadableImage: an image or a mask can't be read.
    """
    recipe = runs[0].recipe.without_anomaly
    with selection_images.last_layer_in(network):
        with_masks = images_with_masks((examples[row] for row in selection_images.rows), recipe)
        choice = choose_heatmaps(network, recipe, store, selection_images.rows, with_masks)
    truth = np.concatenate([run.truth for run in runs])
    scores = np.concatenate([run.scores for run in runs])
    groups = [group for run in runs for group in run.groups]
    spec, false_heat = add_scales(choice.spec, runs[0].recipe, truth, scores, groups)
    with evaluation_images.last_layer_in(network):
        with_masks = images_with_masks((examples[row] for row in evaluation_images.rows), recipe)
        subject = subject_of(network, recipe, spec, store.references)
        heatmap_scores = score_heatmaps(
            subject, with_masks, most=MOST_IMAGES_PER_LABEL, most_curves=MOST_CURVES_PER_LABEL
        )
    return HeatmapEvaluation(choice, spec, heatmap_scores.model_copy(update={"false_heat": false_heat}))


def images_with_masks(examples: Iterable[Example], recipe: Recipe) -> list[MarkedImage]:
    """Return the images that have masks."""
    images = []
    for example in examples:
        present_labels = [name for name, value in zip(recipe.label_names, example.labels, strict=True) if value]
        if masks := masks_of(dict(example.masks), example.name, present_labels, recipe):
            images.append(MarkedImage(example.image, example.group, masks))
    return images

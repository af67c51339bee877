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
from services.trainer.heatmaps.held_out import HeldOut
from services.trainer.heatmaps.scale import scaled
from shared.contracts.bundle import HeatmapSpec
from shared.datasets.labelled_images import Example
from shared.explain.masks import MarkedImage, masks_of
from shared.explain.metrics import HeatmapScores, score_heatmaps
from shared.explain.probes import subject_of
from shared.recipe import Recipe

MOST: Final = 100
"""Images per label: enough for an interval, and a minute on one core."""
CURVES: Final = 8


@dataclass(frozen=True)
class Heatmaps:
    """How the heatmaps of a model are made, and how good they are."""

    choice: Choice
    spec: HeatmapSpec
    """With scales."""
    scores: HeatmapScores

    def document(self) -> dict[str, JsonValue]:
        """Return what `evaluation.json` says of them: the scores, and what every tried way pointed at."""
        tried: list[JsonValue] = [
            {"method": candidate.method, "layers": [*candidate.layers], "pointing": pointing}
            for candidate, pointing in self.choice.tried.items()
        ]
        return {**self.scores.model_dump(mode="json"), "defects": self.choice.defects, "tried": tried}


def make_heatmaps(
    network: keras.Model,
    store: PixelStore,
    examples: Sequence[Example],
    *,
    choosing: HeldOut,
    measured: HeldOut,
    runs: Sequence[EvaluationRun],
) -> Heatmaps:
    """Choose, scale and measure the heatmaps of a network.

    Args:
        network: the trained network.
        store: the images.
        examples: by row of the store.
        choosing: the images by which method and layers are chosen.
        measured: the other images, by which the heatmaps are measured.
        runs: the evaluations of images, with scores by a network that did not learn from them; they set the scale.

    Raises:
        BundleError: the network has no layer for heatmaps.
        UnreadableImage: an image or a mask can't be read.
    """
    recipe = runs[0].recipe
    with choosing.applied_to(network):
        marked = marked_images((examples[row] for row in choosing.rows), recipe)
        choice = choose_heatmaps(network, recipe, store, choosing.rows, marked)
    truth, scores = (np.concatenate([getattr(run, name) for run in runs]) for name in ("truth", "scores"))
    groups = [group for run in runs for group in run.groups]
    spec, false_heat = scaled(choice.spec, recipe, truth, scores, groups)
    with measured.applied_to(network):
        marked = marked_images((examples[row] for row in measured.rows), recipe)
        subject = subject_of(network, recipe, spec, store.references)
        found = score_heatmaps(subject, marked, most=MOST, most_curves=CURVES)
    return Heatmaps(choice, spec, found.model_copy(update={"false_heat": false_heat}))


def marked_images(examples: Iterable[Example], recipe: Recipe) -> list[MarkedImage]:
    """Return the images that have masks."""
    marked = []
    for example in examples:
        true = [name for name, value in zip(recipe.label_names, example.labels, strict=True) if value]
        if masks := masks_of(dict(example.masks), example.name, true, recipe):
            marked.append(MarkedImage(example.image, example.group, masks))
    return marked

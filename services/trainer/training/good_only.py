"""Learn what good parts look like from images of good parts alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import keras
import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from services.trainer.architectures.efficientnet_lite import has_weights
from services.trainer.architectures.lite0_patches import build_patches, with_memory
from services.trainer.architectures.pretraining import WeightsOrigin
from services.trainer.datasets.pixels import PixelStore, Rows
from services.trainer.evaluation.costs import is_ng
from services.trainer.evaluation.evaluate import ranking
from services.trainer.evaluation.evaluation_run import EvaluationRun
from services.trainer.evaluation.figures import LabelEvaluation
from services.trainer.evaluation.threshold_choice import FEWEST_NG
from services.trainer.training.listener import TrainingListener
from services.trainer.training.memory import FittedMemory, fit_memory
from services.trainer.training.options import WrongOption
from services.trainer.training.precision import FLOAT32, ComputeConfig, hardware_of_this_machine, record_run
from shared.contracts.training import ARCHITECTURES, TrainingOptions
from shared.datasets.good_only import ANOMALY, good_only_recipe, not_good
from shared.datasets.labelled_images import Dataset
from shared.datasets.tables import DatasetError
from shared.intervals import draws, spread
from shared.label_names import same_label
from shared.recipe import ImageSpec, Recipe
from shared.verdict import has_verdicts

FEWEST_GOOD: Final = 10
"""Images of good parts that a memory needs, at least."""


def why_good_only(
    dataset: Dataset, recipe: Recipe, architecture: str, options: TrainingOptions, weights: Path | None = None
) -> str | None:
    """Return in words why a model is learned from good images alone; None if it learns labels.

    Args:
        dataset: the images, with the labels of the recipe; for a recipe with ``good_by``, with those that they have.
        recipe: says which labels make a part NG.
        architecture: the requested one.
        options: ``good_only`` decides; where it is None, the number of images that show an NG part.
        weights: the requested file of weights.

    Raises:
        WrongOption: no label says whether a part is good, or another option contradicts.
    """
    default = architecture == next(iter(ARCHITECTURES))
    with_verdicts = has_verdicts(recipe.annotated)
    rows = [example.labels for example in dataset.examples]
    ng = sum(not_good(dataset.label_names, rows, good_only_recipe(recipe))) if with_verdicts else 0
    good = len(rows) - ng
    if options.good_only:
        if not with_verdicts:
            raise WrongOption(
                "option good_only: no label of the recipe says whether a part is good: give one the role quality or "
                "defect"
            )
        if recipe.image.reference is not None:
            raise WrongOption(
                "option good_only: it compares with all good images: leave out the reference, here and in the recipe"
            )
        if not default or options.epochs:
            raise WrongOption("option good_only: its network is not chosen or tuned: leave out architecture and epochs")
        return (
            f"the model learned from the {good} images of good parts alone; its label {ANOMALY} says how unlike them "
            f"an image is, and the {ng} images of NG parts measure it"
        )
    asked = options.good_only is not None or not default or options.epochs is not None or recipe.image.reference
    if asked or not with_verdicts or good < FEWEST_GOOD or not has_weights(weights):
        return None
    if ng >= FEWEST_NG:
        names = recipe.annotated.label_names
        missing = [name for name in names if same_label(name, dataset.label_names) is None]
        if recipe.good_by is None or not missing:
            return None
        return (
            f"{ng} images show an NG part, but the images have no label {', '.join(missing)}, so the labels can't be "
            f"learned: the model learned from the {good} images of good parts alone; label all images, or give a "
            "recipe with the labels that they have"
        )
    return (
        f"{ng or 'no'} image{'s show' if ng != 1 else ' shows'} an NG part, and labels are learned from {FEWEST_NG} "
        f"on: the model learned from the {good} images of good parts alone, and its label {ANOMALY} says how unlike "
        "them an image is (option good_only; --no-good-only learns the labels all the same)"
    )


def power_of(label: LabelEvaluation, memory: FittedMemory, groups: Sequence[str]) -> str:
    """Return in words how well the distance to good images finds NG parts: by images of them, or by pasted defects.

    Args:
        label: the evaluation of the label `ANOMALY`, out of fold.
        memory: what was evaluated.
        groups: the group of each image that was measured out of fold.
    """
    if label.roc_auc is not None:
        low, high = label.intervals.get("roc_auc", (0.0, 1.0))
        return (
            f"an NG part is more unlike the good ones than another good part is in {label.roc_auc:.0%} of cases (AUROC "
            f"{label.roc_auc:.2f}, {low:.2f} to {high:.2f}, by {label.positives} images of NG and "
            f"{label.n - label.positives} of good parts; 0.5 is chance)"
        )
    pasted = memory.pasted
    true = np.repeat([True, False], [len(pasted), len(memory.out_of_fold)])
    scores = np.concatenate([pasted, memory.out_of_fold])
    areas, _ = ranking(true, scores, draws([*(groups[each] for each in memory.pasted_on), *groups]))
    low, high = spread(areas) or (0.0, 1.0)
    return (
        "no image shows an NG part, so nothing measures how well this model finds them. Of pieces of other images, "
        f"pasted on {len(pasted)} good ones, it finds {(pasted > 0).mean():.0%} (AUROC "
        f"{roc_auc_score(true, scores):.2f}, {low:.2f} to {high:.2f}; 0.5 is chance); real defects may be harder to "
        "find"
    )


def power_beside_labels(run: EvaluationRun, memory: FittedMemory) -> str:
    """Return in words what a memory of good images finds beside the labels of a model, out of fold."""
    anomaly = run.recipe.label_names[-1]
    ng, judged_ng = is_ng(run.of_labels.recipe, run.of_labels.truth), is_ng(run.of_labels.recipe, run.of_labels.scores)
    unlike = run.scores[:, -1] >= run.recipe.labels[-1].threshold
    missed, passed = ng & ~judged_ng, ~ng & ~judged_ng
    return (
        "frames in which no label finds a fault, but which are unlike anything good, are flagged (unlike_good: "
        f"{run.recipe.unlike_good}): {int((unlike & missed).sum())} of the {int(missed.sum())} NG images that the "
        f"labels miss, and {int((unlike & passed).sum())} of the {int(passed.sum())} ok images that they pass; "
        f"{power_of(run.evaluation.labels[anomaly], memory, run.groups)}"
    )


@dataclass(frozen=True)
class GoodOnly:
    """A network that learned from good images alone, and how it would score images that it did not learn from."""

    network: keras.Model
    origin: WeightsOrigin
    runs: list[dict[str, int | str]]
    memory: FittedMemory


def fit_good_only(
    image: ImageSpec,
    store: PixelStore,
    rows: Rows,
    fold_of: NDArray[np.int64],
    options: TrainingOptions,
    *,
    listener: TrainingListener,
    weights: Path | None = None,
) -> GoodOnly:
    """Fit a memory to the good images, and measure all images out of fold.

    Args:
        image: the input of the network.
        store: the images, with one label: whether the part is not good.
        rows: the rows of ``store`` to use.
        fold_of: (rows,), the fold of each image; no group is in two folds.
        options: the overkill that is allowed.
        listener: receives the progress.
        weights: a file of weights; by default, the installed ones.

    Raises:
        DatasetError: there are too few good images.
        WeightsError: there are no pretrained weights, or they don't fit.
    """
    good = store.labels[rows, 0] == 0
    if good.sum() < FEWEST_GOOD or len(np.unique(fold_of[good])) < 2:
        raise DatasetError(
            [
                f"{int(good.sum())} images of good parts are there to learn from, and {FEWEST_GOOD} of at least two "
                "groups are needed: add images of good parts, best a hundred or more, as the line will see them"
            ]
        )
    patches, origin = build_patches(image, weights)
    fitted = fit_memory(patches, store, rows, good, fold_of, options=options, listener=listener)
    runs: list[dict[str, int | str]] = []
    record_run(runs, ComputeConfig(FLOAT32, hardware_of_this_machine().name), 1)
    return GoodOnly(with_memory(patches, fitted.memory, fitted.usual), origin, runs, fitted)

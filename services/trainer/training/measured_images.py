"""Score the images of a training, choose thresholds by those scores, and measure the verdicts."""

from __future__ import annotations

from dataclasses import dataclass

import keras
import numpy as np
from numpy.typing import NDArray

from services.trainer.datasets.pixels import Rows
from services.trainer.evaluation.costs import Scores
from services.trainer.evaluation.evaluation_run import EvaluationRun, MeasuredOn
from services.trainer.evaluation.logits import logits_of
from services.trainer.evaluation.threshold_choice import choose_thresholds
from services.trainer.training.out_of_fold import OutOfFold
from services.trainer.training.split_images import SplitImages
from shared.contracts.operating_points import OperatingPoint, OperatingPoints
from shared.contracts.training import TrainingOptions
from shared.datasets.good_only import recipe_with_anomaly
from shared.engines.port import Logits
from shared.recipe import Recipe
from shared.verdict import scores_by, with_anomaly


@dataclass(frozen=True)
class MeasuredImages:
    """The images of a training, evaluated with the thresholds that were chosen by some of them."""

    recipe: Recipe
    """The recipe, with these thresholds."""
    points: OperatingPoints | None
    """The operating points of the model; None if no label can make a part NG."""
    chosen_on: EvaluationRun
    """The images by which the thresholds were chosen: those that were scored out of fold, or the validation split."""
    chosen_on_rows: Rows
    valid: EvaluationRun
    """The validation split, scored by the network of the bundle, which may have learned from it."""
    valid_logits: Logits
    test: EvaluationRun
    test_rows: Rows
    measured_on: MeasuredOn

    @property
    def measured(self) -> EvaluationRun:
        """Return the images whose figures are those of the model."""
        return self.test if self.measured_on is MeasuredOn.TEST else self.chosen_on

    @property
    def measured_rows(self) -> Rows:
        return self.test_rows if self.measured_on is MeasuredOn.TEST else self.chosen_on_rows


def measure(
    recipe: Recipe,
    images: SplitImages,
    out_of_fold: OutOfFold | None,
    options: TrainingOptions,
    *,
    network: keras.Model,
    anomaly: NDArray[np.float32] | None,
) -> MeasuredImages:
    """Score the images, choose thresholds, and evaluate.

    Args:
        recipe: the recipe, without the label of images that are unlike all good ones.
        images: the images of the training.
        out_of_fold: the images that chose the network, scored by others; None: the validation split chooses thresholds.
        options: name the operating point and the overkill that is allowed.
        network: the network of the bundle.
        anomaly: (rows of ``out_of_fold``,), the logits of the anomaly that the network measures beside its labels; None
            if it measures none.
    """
    store, rows = images.store, images.rows
    logits = {name: logits_of(network, store, rows[name]) for name in ("valid", "test")}
    held_out = out_of_fold or OutOfFold(rows["valid"], logits["valid"], learning_curve=None)
    recipe, points = choose_thresholds(
        recipe,
        store.labels[held_out.rows],
        scores_by(recipe, held_out.logits),
        [images.examples[row].group for row in held_out.rows],
        options.operating_point,
        overkill=options.overkill,
        unlike=anomaly >= 0 if anomaly is not None and recipe.unlike_good == "ng" else None,
    )
    held_out_logits = held_out.logits
    if anomaly is not None:
        recipe = recipe_with_anomaly(recipe)
        held_out_logits = np.column_stack([held_out_logits, anomaly])
    scores = scores_by(recipe, held_out_logits)
    test = evaluate_rows(images, recipe, rows["test"], scores_by(recipe, logits["test"]))
    return MeasuredImages(
        recipe,
        points,
        chosen_on=evaluate_rows(images, recipe, held_out.rows, scores, points.of_model if points else None),
        chosen_on_rows=held_out.rows,
        valid=evaluate_rows(images, recipe, rows["valid"], scores_by(recipe, logits["valid"])),
        valid_logits=logits["valid"],
        test=test,
        test_rows=rows["test"],
        measured_on=MeasuredOn.TEST if out_of_fold is None or test.is_telling else MeasuredOn.OUT_OF_FOLD,
    )


def evaluate_rows(
    images: SplitImages, recipe: Recipe, rows: Rows, scores: Scores, point: OperatingPoint | None = None
) -> EvaluationRun:
    """Return the evaluation of some rows of the store."""
    examples = [images.examples[row] for row in rows]
    names, groups = [example.name for example in examples], [example.group for example in examples]
    return EvaluationRun(recipe, names, groups, with_anomaly(recipe, images.store.labels[rows]), scores, point)

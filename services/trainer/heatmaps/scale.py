"""Fit the scale of heatmaps to the scores of good images from which the network did not learn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from services.trainer.evaluation.costs import Scores, Truth, is_ng
from shared.contracts.bundle import RARE, RAREST, HeatmapSpec, HeatScale
from shared.explain.metrics import FalseHeat, false_heat_of
from shared.explain.scale import evidence_of
from shared.explain.targets import Question, fault_questions
from shared.recipe import LabelRole, Recipe
from shared.verdict import possible_faults

FEWEST_IMAGES: Final = 5
"""Fewest good images for a scale."""
FOLDS: Final = 10
SMALLEST_DEVIATION: Final = 0.01
"""Least standard deviation of evidence that is assumed, in log odds, because all good images may have one score."""
TAIL_QUANTILE: Final = 0.75
"""The quantile above which evidence is the tail of its distribution."""

Evidence = NDArray[np.float64]
"""(images, questions): the log odds of the scores of good images."""


def add_scales(
    spec: HeatmapSpec, recipe: Recipe, truth: Truth, scores: Scores, groups: Sequence[str]
) -> tuple[HeatmapSpec, FalseHeat | None]:
    """Return the spec with a scale for each label, and how often good images have heat.

    The scales of all labels that can be a fault are fitted together, so that 95 of 100 good images have no heat for
    any of them. The evidence for or against any other label is scaled by images for which it would be wrong.

    Args:
        spec: the chosen method and layers.
        recipe: the network's recipe.
        truth: the labels of held-out images.
        scores: the scores of these images.
        groups: the groups of these images.

    Returns:
        The heat of good images is measured with scales that were fitted to the other groups; it is None if there are
        too few good images, or if no label can be a fault.
    """
    faults, good = fault_questions(recipe), ~is_ng(recipe, truth)
    fits: list[tuple[list[Question], NDArray[np.bool_]]] = [(faults, good)] if faults else []
    for output, (label, can_be_fault) in enumerate(zip(recipe.labels, possible_faults(recipe), strict=True)):
        for for_label in (True, False):
            question = Question(label, output, for_label)
            if question not in faults and (for_label or label.role not in (LabelRole.DEFECT, LabelRole.ANOMALY)):
                # for images without the label, evidence for the label is wrong, and the other way round
                fit_images = good if can_be_fault else (truth[:, output] > 0) != for_label
                fits.append(([question], fit_images))
    scales: dict[bool, dict[str, HeatScale]] = {True: {}, False: {}}
    for questions, images in fits:
        for question, scale in zip(questions, fit_scales(evidence_for(questions, scores[images])), strict=False):
            scales[question.for_label][question.label.name] = scale
    false_heat = cross_fitted_heat(
        evidence_for(faults, scores[good]), [group for group, ok in zip(groups, good, strict=True) if ok], faults
    )
    return spec.model_copy(update={"for_label": scales[True], "against_label": scales[False]}), false_heat


def evidence_for(questions: Sequence[Question], scores: Scores) -> Evidence:
    """Return the evidence in the direction of each question, (images, questions)."""
    columns = [evidence_of(scores[:, each.output], for_label=each.for_label) for each in questions]
    return np.stack(columns, axis=1) if columns else np.zeros((len(scores), 0))


def cross_fitted_heat(evidence: Evidence, groups: Sequence[str], questions: Sequence[Question]) -> FalseHeat | None:
    """Return how often good images have heat by scales that were fitted to the good images of other groups."""
    names = np.asarray(groups)
    hot = np.zeros(evidence.shape, np.bool_)
    for fold in np.array_split(np.random.default_rng(0).permutation(np.unique(names)), FOLDS):
        in_fold = np.isin(names, fold)
        if in_fold.any():
            scales = fit_scales(evidence[~in_fold])
            if not scales:
                return None
            hot[in_fold] = evidence[in_fold] > [scale.rare for scale in scales]
    return false_heat_of(hot, [question.label.name for question in questions]) if hot.size else None


def fit_scales(evidence: Evidence) -> list[HeatScale]:
    """Return a scale for each question, such that 95 of 100 good images have no heat in any of them.

    The evidence of each image is compared with the evidence of the other images, in standard deviations; the question
    with the largest deviation counts. Heat begins at the quantile that an order statistic gives for the next image
    (Vovk et al. 2005, "Algorithmic Learning in a Random World"), or with too few images at Student's prediction bound.
    Heat is full where an exponential tail reaches a rarity of 0.001.

    Returns:
        No scales if there are fewer than `FEWEST_IMAGES` images, or no questions.
    """
    images, questions = evidence.shape
    if images < FEWEST_IMAGES or not questions:
        return []
    mean, deviation = evidence.mean(axis=0), np.maximum(evidence.std(axis=0, ddof=1), SMALLEST_DEVIATION)
    # mean and deviation of the other images, for each image
    mean_of_others = (images * mean - evidence) / (images - 1)
    squares_of_others = (images - 1) * deviation**2 - images / (images - 1) * (evidence - mean) ** 2
    deviation_of_others = np.sqrt(np.maximum(squares_of_others / (images - 2), SMALLEST_DEVIATION**2))
    deviations = np.sort(((evidence - mean_of_others) / deviation_of_others).max(axis=1))
    rank = int(np.ceil((1 - RARE) * (images + 1)))
    bound = student.ppf(1 - RARE / questions, images - 1) * np.sqrt(1 + 1 / images)
    begin = float(deviations[rank - 1] if rank <= images else bound)
    tail_start = np.quantile(deviations, TAIL_QUANTILE)
    mean_excess = max(float((deviations[deviations >= tail_start] - tail_start).mean()), SMALLEST_DEVIATION)
    full = begin + mean_excess * np.log(RARE / RAREST)
    return [
        HeatScale(images=images, rare=float(low), rarest=float(high))
        for low, high in zip(mean + begin * deviation, mean + full * deviation, strict=True)
    ]

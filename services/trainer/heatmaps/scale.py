"""Fit the scale of heatmaps to the scores of good images that the network was not trained on."""

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

FEWEST: Final = 5
"""Good images that a scale needs, at least."""
FOLDS: Final = 10
LEAST: Final = 0.01
"""Smallest deviation, in log odds: good images may all have the same score."""
UPPER: Final = 0.75
"""The quantile above which evidence is the tail of its distribution."""

Evidence = NDArray[np.float64]
"""(images, questions): the log odds of the scores of good images."""


def scaled(
    spec: HeatmapSpec, recipe: Recipe, truth: Truth, scores: Scores, groups: Sequence[str]
) -> tuple[HeatmapSpec, FalseHeat | None]:
    """Return how heatmaps are made, with a scale for each label, and how often good images have heat all the same.

    The scales of all labels that can be a fault are fitted together, so that 95 of 100 good images have no heat for
    any of them. The evidence for or against any other label is scaled by images for which it would be wrong.

    Args:
        spec: the chosen method and layer.
        recipe: of the network.
        truth: the labels of held-out images.
        scores: of these images.
        groups: of these images.

    Returns:
        The heat of good images is measured with scales that were fitted to the other groups; it is None if there are
        too few good images, or if no label can be a fault.
    """
    faults, good = fault_questions(recipe), ~is_ng(recipe, truth)
    fits: list[tuple[list[Question], NDArray[np.bool_]]] = [(faults, good)] if faults else []
    for place, (label, can_be_fault) in enumerate(zip(recipe.labels, possible_faults(recipe), strict=True)):
        for for_label in (True, False):
            question = Question(label, place, for_label)
            if question not in faults and (for_label or label.role is not LabelRole.DEFECT):
                wrong = good if can_be_fault else (truth[:, place] > 0) != for_label
                fits.append(([question], wrong))
    scales: dict[bool, dict[str, HeatScale]] = {True: {}, False: {}}
    for questions, images in fits:
        for question, scale in zip(questions, fit_scales(evidence_for(questions, scores[images])), strict=False):
            scales[question.for_label][question.label.name] = scale
    false_heat = cross_fitted_heat(
        evidence_for(faults, scores[good]), [group for group, ok in zip(groups, good, strict=True) if ok], faults
    )
    return spec.model_copy(update={"for_label": scales[True], "against_label": scales[False]}), false_heat


def evidence_for(questions: Sequence[Question], scores: Scores) -> Evidence:
    """Return the evidence of images for the answer to each question."""
    columns = [evidence_of(scores[:, each.output], for_label=each.for_label) for each in questions]
    return np.stack(columns, axis=1) if columns else np.zeros((len(scores), 0))


def cross_fitted_heat(evidence: Evidence, groups: Sequence[str], questions: Sequence[Question]) -> FalseHeat | None:
    """Return how often good images have heat by scales that were fitted to the good images of other groups."""
    names = np.asarray(groups)
    hot = np.zeros(evidence.shape, np.bool_)
    for part in np.array_split(np.random.default_rng(0).permutation(np.unique(names)), FOLDS):
        own = np.isin(names, part)
        if own.any():
            scales = fit_scales(evidence[~own])
            if not scales:
                return None
            hot[own] = evidence[own] > [scale.rare for scale in scales]
    return false_heat_of(hot, [question.label.name for question in questions]) if hot.size else None


def fit_scales(evidence: Evidence) -> list[HeatScale]:
    """Return a scale for each question, such that 95 of 100 good images have no heat in any of them.

    The evidence of each image is compared with that of the others, in standard deviations; an image counts by the
    largest of its questions. Heat begins at the quantile that an order statistic gives for the next image (Vovk et al.
    2005, "Algorithmic Learning in a Random World"); with too few images for that, at Student's prediction bound. It is
    full where an exponential tail reaches a rarity of 0.001.

    Returns:
        Nothing if there are fewer than `FEWEST` images, or no questions.
    """
    images, questions = evidence.shape
    if images < FEWEST or not questions:
        return []
    middle, deviation = evidence.mean(axis=0), np.maximum(evidence.std(axis=0, ddof=1), LEAST)
    middle_of_others = (images * middle - evidence) / (images - 1)
    variance = (images - 1) * deviation**2 - images / (images - 1) * (evidence - middle) ** 2
    deviation_of_others = np.sqrt(np.maximum(variance / (images - 2), LEAST**2))
    unusual = np.sort(((evidence - middle_of_others) / deviation_of_others).max(axis=1))
    rank = int(np.ceil((1 - RARE) * (images + 1)))
    bound = student.ppf(1 - RARE / questions, images - 1) * np.sqrt(1 + 1 / images)
    begin = float(unusual[rank - 1] if rank <= images else bound)
    usual = np.quantile(unusual, UPPER)
    excess = max(float((unusual[unusual >= usual] - usual).mean()), LEAST)
    full = begin + excess * np.log(RARE / RAREST)
    return [
        HeatScale(images=images, rare=float(low), rarest=float(high))
        for low, high in zip(middle + begin * deviation, middle + full * deviation, strict=True)
    ]

"""Apply a recipe to scores: the same rule on the line and in an evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from shared.messages import Finding, Verdict
from shared.recipe import Label, LabelRole, Recipe, Task

UNLIKE: Final = "unlike anything good"
"""The reason of a verdict on an image in which no label finds a fault, and which is unlike all good images."""


@dataclass(frozen=True)
class Judgement:
    """The result of applying a recipe to the scores of one image."""

    verdict: Verdict
    reason: str
    findings: dict[str, Finding]
    flagged: bool


def scores_of(logits: NDArray[np.float32], task: Task) -> NDArray[np.float32]:
    """Return the probabilities of logits: a sigmoid for each label, or a softmax over the labels.

    Args:
        logits: (frames, labels).
        task: how the labels relate.

    Returns:
        (frames, labels), 0 to 1.
    """
    logits64 = logits.astype(np.float64)
    if task is Task.EXCLUSIVE:
        exponentials = np.exp(logits64 - logits64.max(axis=1, keepdims=True))
        return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True), np.float32)
    # a stable sigmoid: the exponent is never positive, so that exp does not overflow
    exponential = np.exp(-np.abs(logits64))
    positive, negative = 1 / (1 + exponential), exponential / (1 + exponential)
    return np.asarray(np.where(logits64 >= 0, positive, negative), np.float32)


def scores_by(recipe: Recipe, logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the scores of the outputs of a recipe's network, (frames, labels); an anomaly excludes no other label."""
    if recipe.anomaly is None:
        return scores_of(logits, recipe.task)
    parts = scores_of(logits[:, :-1], recipe.task), scores_of(logits[:, -1:], Task.MULTI_LABEL)
    return np.concatenate(parts, axis=1)


def judge(recipe: Recipe, scores: Sequence[float] | NDArray[np.float32]) -> Judgement:
    """Apply a recipe to the scores of one image.

    Args:
        recipe: the recipe of the model.
        scores: one per label, in the recipe's order, 0 to 1.

    Raises:
        ValueError: the number of scores is wrong, or a score is not a number from 0 to 1.
    """
    values = [float(score) for score in scores]
    if len(values) != len(recipe.labels):
        raise ValueError(f"{len(values)} scores for the {len(recipe.labels)} labels of recipe {recipe.name!r}")
    if not all(0 <= value <= 1 for value in values):
        raise ValueError(f"scores are numbers from 0 to 1, and these are {values}")
    find = _find_exclusive if recipe.task is Task.EXCLUSIVE else _find_multi_label
    given = recipe.without_anomaly
    findings = find(given, values[: len(given.labels)])
    faults = []
    for name, found in findings.items():
        if found.fault and recipe.label(name).role is LabelRole.ATTRIBUTE:
            faults.append(f"{name} is {'present' if found.present else 'absent'} and is expected otherwise")
        elif found.fault:
            faults.append(name if found.present else f"not {name}")
    unsure = [name for name, found in findings.items() if found.unsure]
    doubt = f"unsure of {', '.join(unsure)}" if unsure else ""
    unlike = ""
    if recipe.anomaly:
        present = values[-1] >= recipe.anomaly.threshold
        speaks = present and not faults and recipe.unlike_good != "off"  # a fault that a label names says more
        unlike = UNLIKE if speaks else ""
        is_fault = bool(unlike) and recipe.unlike_good == "ng"
        findings[recipe.anomaly.name] = Finding(
            score=values[-1],
            threshold=recipe.anomaly.threshold,
            present=present,
            unsure=bool(unlike) and not is_fault,
            fault=is_fault,
        )
    verdict = Verdict.NG if any(found.fault for found in findings.values()) else Verdict.OK
    reason = "; ".join(filter(None, [", ".join(faults), unlike, doubt])) or "no fault"
    flagged = bool(faults or unsure or unlike) or recipe.explain == "all"
    return Judgement(verdict, reason, findings, flagged)


def faults_of(label: Label, present: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which images are NG because of one label of a multi-label recipe.

    Args:
        label: its role and its expected value decide whether its presence or its absence is a fault.
        present: whether the label is present; the result has the same shape.
    """
    if not label.decides:
        return np.zeros_like(present)
    return ~present if label.is_fault_if_absent else present


def present_labels(recipe: Recipe, scores: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Return which labels are present in each image, as `judge` finds them: bool, (images, labels) as the scores."""
    thresholds = np.array([label.threshold for label in recipe.labels])
    present = np.asarray(scores >= thresholds, np.bool_)
    if recipe.task is Task.EXCLUSIVE:
        count = len(recipe.without_anomaly.labels)
        one_hot = np.eye(count, dtype=np.bool_)
        present[:, :count] = one_hot[(scores / thresholds)[:, :count].argmax(axis=1)]
    return present


def ng_images(recipe: Recipe, present: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which images are NG, bool (images,), by the labels that are present in them, (images, labels)."""
    unlike = ng_by_anomaly(recipe, present)
    if recipe.task is Task.EXCLUSIVE:
        return np.asarray(present[:, faults_if_chosen(recipe)].any(axis=1) | unlike, np.bool_)
    faults = [faults_of(label, present[:, column]) for column, label in enumerate(recipe.labels)]
    return np.asarray(np.any([*faults, unlike], axis=0), np.bool_)


def ng_by_anomaly(recipe: Recipe, present: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which images are NG because they are unlike anything good, bool (images,); see `ng_images`."""
    if recipe.anomaly and recipe.unlike_good == "ng":
        return present[:, -1]
    return np.zeros(len(present), np.bool_)


def with_anomaly(recipe: Recipe, truth: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the labels of images with a column for the recipe's anomaly, if it has one: true of NG parts.

    Args:
        recipe: of the model.
        truth: (images, labels) of the labels that people give, 0 or 1.
    """
    if recipe.anomaly is None:
        return truth
    given = recipe.without_anomaly
    return np.column_stack([truth, ng_images(given, present_labels(given, truth))]).astype(np.float32)


def has_verdicts(recipe: Recipe) -> bool:
    """Return whether images can be ok as well as NG by a recipe."""
    faults = possible_faults(recipe)
    return bool(faults.any() and (recipe.task is Task.MULTI_LABEL or not faults.all()))


def possible_faults(recipe: Recipe) -> NDArray[np.bool_]:
    """Return for each label whether it can make an image NG, by its presence or by its absence: (labels,)."""
    if recipe.task is Task.EXCLUSIVE:
        return faults_if_chosen(recipe)
    return np.array([label.decides for label in recipe.labels], np.bool_)


def points_at_presence(label: Label, recipe: Recipe) -> bool:
    """Return whether the presence of a label is its fault; for exclusive labels, maps always show the presence."""
    if recipe.task is Task.EXCLUSIVE:
        return True
    return not label.is_fault_if_absent


def faults_if_chosen(recipe: Recipe) -> NDArray[np.bool_]:
    """Return for each label of an exclusive recipe whether an image of this label is NG: bool, (labels,).

    A defect is NG, and so is an attribute that is expected to be absent. If one attribute is expected to be present,
    every other attribute is NG.
    """
    expects = any(label.expected for label in recipe.labels)
    return np.array(
        [
            label.role is LabelRole.DEFECT
            or label.expected is False
            or (expects and label.role is LabelRole.ATTRIBUTE and not label.expected)
            for label in recipe.labels
        ],
        np.bool_,
    )


def _find_multi_label(recipe: Recipe, scores: list[float]) -> dict[str, Finding]:
    return {
        label.name: Finding(
            score=score,
            threshold=label.threshold,
            present=score >= label.threshold,
            unsure=abs(score - label.threshold) < recipe.unsure_margin,
            fault=bool(faults_of(label, np.asarray(score >= label.threshold))),
        )
        for label, score in zip(recipe.labels, scores, strict=True)
    }


def _find_exclusive(recipe: Recipe, scores: list[float]) -> dict[str, Finding]:
    """Choose the label with the highest ratio of score to threshold.

    The threshold of a finding is the score from which on its label would be chosen: for the chosen label, that of a tie
    with the second; for another label, that of a tie with the chosen one.
    """
    ratios = [score / label.threshold for label, score in zip(recipe.labels, scores, strict=True)]
    chosen, second = sorted(range(len(scores)), key=lambda index: -ratios[index])[:2]
    total = sum(ratios) or 1.0
    unsure = (ratios[chosen] - ratios[second]) / total < recipe.unsure_margin
    faults = faults_if_chosen(recipe)
    findings = {}
    for index, (label, score) in enumerate(zip(recipe.labels, scores, strict=True)):
        is_chosen = index == chosen
        findings[label.name] = Finding(
            score=score,
            threshold=min(1.0, label.threshold * ratios[second if is_chosen else chosen]),
            present=is_chosen,
            unsure=unsure and index in (chosen, second),
            fault=is_chosen and bool(faults[index]),
        )
    return findings

"""Choose what a heatmap answers: which labels of a frame, and whether for their presence or their absence."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from shared.engines.port import Images
from shared.messages import Finding
from shared.recipe import Label, LabelRole, Recipe, Task
from shared.verdict import points_at_presence, possible_faults


@dataclass(frozen=True)
class Question:
    """Which pixels are evidence for a label, or against it?"""

    label: Label
    output: int
    """The position of the label among the network's outputs."""
    for_label: bool
    """True: evidence for the label; False: evidence against it."""


def questions_about(findings: Mapping[str, Finding], recipe: Recipe, wanted: Collection[str] = ()) -> list[Question]:
    """Return the questions about a frame: where is the evidence for the fault of each label that flagged it?

    For a frame that no label flagged, they ask about the labels that are present, or else the label with the highest
    score.

    Args:
        findings: the findings of the frame, by label.
        recipe: the recipe of the model that inspected the frame.
        wanted: labels that a person requested; then only these.
    """
    found = [
        (place, label, findings[label.name])
        for place, label in enumerate(recipe.labels)
        if label.name in findings and (label is not recipe.anomaly or findings[label.name].present or wanted)
    ]
    if wanted:
        return [
            Question(label, place, _explained_for(label, finding, recipe))
            for place, label, finding in found
            if label.name in wanted
        ]
    flagging = [
        Question(label, place, points_at_presence(label, recipe))
        for place, label, finding in found
        if finding.fault or finding.unsure
    ]
    if flagging or not found:
        return flagging
    present = [Question(label, place, for_label=True) for place, label, finding in found if finding.present]
    place, label, _ = max(found, key=lambda entry: entry[2].score)
    return present or [Question(label, place, for_label=True)]


def _explained_for(label: Label, finding: Finding, recipe: Recipe) -> bool:
    """Return whether a requested label is explained by the evidence for it, as its fault or else its finding asks.

    For an absent defect, the evidence for it is shown, because its absence has no position in the image.
    """
    if finding.fault or finding.unsure:
        return points_at_presence(label, recipe)
    return finding.present or label.role in (LabelRole.DEFECT, LabelRole.ANOMALY) or recipe.task is Task.EXCLUSIVE


def fault_questions(recipe: Recipe) -> list[Question]:
    """Return the question about each label that can be a fault."""
    return [
        Question(label, place, points_at_presence(label, recipe))
        for place, (label, can_be_fault) in enumerate(zip(recipe.labels, possible_faults(recipe), strict=True))
        if can_be_fault
    ]


Maps = NDArray[np.float32]
"""(questions, height, width) of the features, 0 or more: the evidence for the answer at each position."""


class Probe(Protocol):
    """A network that answers questions with maps."""

    def maps(self, images: Images, asked: Sequence[tuple[int, int, bool]]) -> Maps:
        """Answer questions about a batch.

        Args:
            images: the batch.
            asked: for each question the position of the image in the batch, the position of the label among the
                network's outputs, and whether to look for evidence for the label (True) or against it.
        """
        ...

"""Choose what a heatmap answers: which labels of a frame, and whether for their presence or their absence."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from shared.engines.port import Images
from shared.messages import Finding
from shared.recipe import Label, Recipe, Role, Task


@dataclass(frozen=True)
class Question:
    """Which pixels speak for a label, or against it?"""

    label: Label
    output: int
    """The label's place among the network's outputs."""
    towards: bool
    """True: what speaks for the label; False: for its absence."""


def questions_about(findings: Mapping[str, Finding], recipe: Recipe, wanted: Collection[str] = ()) -> list[Question]:
    """What to ask about a frame: the labels that flagged it, each towards the fault.

    A frame that no label flagged (the recipe explains all of them, or a person asked) is asked about what it shows.

    Args:
        findings: what was found, by label.
        recipe: of the model that found it.
        wanted: labels that a person wants to know about; then those alone.
    """
    found = [
        (place, label, findings[label.name]) for place, label in enumerate(recipe.labels) if label.name in findings
    ]
    if wanted:
        return [
            Question(label, place, _direction(label, finding, recipe))
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
    present = [Question(label, place, towards=True) for place, label, finding in found if finding.present]
    place, label, _ = max(found, key=lambda entry: entry[2].score)
    return present or [Question(label, place, towards=True)]


def _direction(label: Label, finding: Finding, recipe: Recipe) -> bool:
    """Of a label that someone asks about: towards the fault, else towards what was found.

    Of a defect that is absent, as it should be, what comes nearest to it is shown: its absence has no place.
    """
    if finding.fault or finding.unsure:
        return points_at_presence(label, recipe)
    return finding.present or label.role is Role.DEFECT or recipe.task is Task.EXCLUSIVE


def points_at_presence(label: Label, recipe: Recipe) -> bool:
    """Whether the fault of a label is its presence. Of labels that exclude each other, one is always there to see."""
    if recipe.task is Task.EXCLUSIVE:
        return True
    return label.role is not Role.QUALITY and label.expected is not True


Maps = NDArray[np.float32]
"""(questions, height, width) of the features, 0 or more; the larger, the more a place speaks for the answer."""


class Probe(Protocol):
    """A network prepared for questions."""

    def maps(self, images: Images, asked: Sequence[tuple[int, int, bool]]) -> Maps:
        """Answer questions about a batch.

        Args:
            images: the batch.
            asked: per question the place of the image in the batch, the place of the label among the network's
                outputs, and whether to look for what speaks for the label (True) or against it.
        """
        ...

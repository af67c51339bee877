"""Scale heatmaps by the rarity of their evidence among good images, so that the heat of all frames can be compared.

The evidence is the log odds of the score. Heat begins where one good image of twenty has as much evidence, and is full
where one of a thousand has. So a good image has an empty heatmap in 95 of 100 cases.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from shared.contracts.bundle import RARE, RAREST, HeatmapSpec, HeatScale

if TYPE_CHECKING:
    from shared.explain.targets import Question

SMALLEST_SCORE: Final = 1e-6
"""Scores nearer to 0 or 1 count as this near: a float32 can't be nearer to 1."""


def evidence_of(scores: NDArray[np.floating] | float, *, for_label: bool) -> NDArray[np.float64]:
    """Return the log odds of scores, or of their complements, for the evidence against a label."""
    share = np.clip(np.asarray(scores, np.float64), SMALLEST_SCORE, 1 - SMALLEST_SCORE)
    odds = np.log(share / (1 - share))
    return np.asarray(odds if for_label else -odds)


def shade_of(evidence: float, scale: HeatScale) -> float:
    """Return the heat of the peak of a heatmap, 0 to 1: linear in the logarithm of its rarity."""
    return float(np.clip((evidence - scale.rare) / (scale.rarest - scale.rare), 0, 1))


def shade_for(spec: HeatmapSpec, question: Question, score: float) -> float | None:
    """Return the heat of the peak of a heatmap by the score of its label; None if the model has no scale for it."""
    scale = spec.scale_of(question.label.name, for_label=question.for_label)
    return None if scale is None else shade_of(float(evidence_of(score, for_label=question.for_label)), scale)


def rarity_of(shade: float) -> float:
    """Return the share of good images with as much evidence: 1 without heat, then 0.05 to 0.001."""
    return float(RARE * (RAREST / RARE) ** shade) if shade > 0 else 1.0

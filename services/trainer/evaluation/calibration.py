"""Measure whether a score is a probability: of the images scored 0.8, eight in ten should have the label."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

BINS: Final = 10


class Bin(BaseModel):
    """The images whose scores lie in one tenth of the scale; tenths without an image are left out."""

    model_config = ConfigDict(frozen=True)

    n: int = Field(gt=0, description="number of images")
    score: float = Field(description="mean score of the images")
    share: float = Field(description="share of the images that have the label")


def reliability(true: NDArray[np.bool_], scores: NDArray[np.float32]) -> tuple[Bin, ...]:
    """Return the reliability curve in bins of equal width, from low to high scores.

    Args:
        true: (images,), which images have the label.
        scores: (images,), 0 to 1.
    """
    bins = np.clip((scores * BINS).astype(int), 0, BINS - 1)
    members = (bins == number for number in range(BINS))
    return tuple(
        Bin(n=int(inside.sum()), score=float(scores[inside].mean()), share=float(true[inside].mean()))
        for inside in members
        if inside.any()
    )


def expected_error(bins: tuple[Bin, ...]) -> float:
    """Return the expected calibration error (Naeini et al. 2015, doi 10.1609/aaai.v29i1.9602); 0 is best.

    It is the mean distance between score and share, each bin weighted by its number of images.
    """
    images = sum(each.n for each in bins)
    return sum(each.n * abs(each.score - each.share) for each in bins) / images

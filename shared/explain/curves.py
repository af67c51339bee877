"""Does a network need what its heatmap calls hot? Deletion and insertion (Petsiuk et al. 2018, arXiv 1806.07421).

The hottest places of an image are blurred step by step, and the score is to fall early; or they appear step by step in
an image that is all blurred, and the score is to rise early. Each is the mean of the score over the steps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.engines.port import Images

STEPS: Final = 10
BLUR: Final = 1 / 12
"""Of the shorter side: the deviation of the blur that takes details away."""

Scorer = Callable[[Images], NDArray[np.float64]]
"""What a network says of images towards one answer: (images,), 0 to 1."""


@dataclass(frozen=True)
class Curves:
    """The mean scores while the hottest places go, and while they come."""

    deletion: float
    """Low is good."""
    insertion: float
    """High is good."""


def curves_of(image: NDArray[np.float32], map_: NDArray[np.float32], scorer: Scorer) -> Curves:
    """Measure one map.

    Args:
        image: (height, width, channels), as the network sees it.
        map_: (any height, any width), 0 or more.
        scorer: asks the network.
    """
    height, width = image.shape[:2]
    heat = cv2.resize(map_, (width, height), interpolation=cv2.INTER_LINEAR)
    places = np.empty(height * width, np.int64)
    places[np.argsort(-heat.ravel(), kind="stable")] = np.arange(height * width)
    steps = (places * STEPS // (height * width)).reshape(height, width, 1)
    blurred = _blurred(image)
    going = [np.where(steps < step, blurred, image) for step in range(STEPS + 1)]
    coming = [np.where(steps < step, image, blurred) for step in range(STEPS + 1)]
    scores = scorer(np.stack([*going, *coming]).astype(np.float32))
    return Curves(float(scores[: STEPS + 1].mean()), float(scores[STEPS + 1 :].mean()))


def _blurred(image: NDArray[np.float32]) -> NDArray[np.float32]:
    blurred = cv2.GaussianBlur(image, (0, 0), BLUR * min(image.shape[:2]), borderType=cv2.BORDER_REFLECT)
    return np.asarray(blurred, np.float32).reshape(image.shape)

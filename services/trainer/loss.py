"""What a training makes small: cross-entropy, in which rare labels weigh more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from shared.recipe import Task

Loss = Callable[[keras.KerasTensor, keras.KerasTensor], keras.KerasTensor]
"""Of truth and logits, (pictures, labels) each, gives one number per picture."""

MOST: Final = 5.0
"""The most that a rare label weighs against a common one."""


def loss_of(task: Task, truth: NDArray[np.float32]) -> Loss:
    """The loss for a recipe's task, weighted by how rare its labels are.

    A label weighs by the square root of the odds against it: enough that a rare defect is learned, not so much that
    every picture seems to show it.

    Args:
        task: binary cross-entropy per label, or categorical over all.
        truth: (pictures, labels) of the training part, 0 or 1.
    """
    share = np.clip(truth.mean(axis=0), 1e-6, 1 - 1e-6)
    if task is Task.EXCLUSIVE:
        weights = np.clip(np.sqrt(1 / (share * truth.shape[1])), 1 / MOST, MOST).astype(np.float32)

        def categorical(true: keras.KerasTensor, logits: keras.KerasTensor) -> keras.KerasTensor:
            crossed = keras.losses.categorical_crossentropy(true, logits, from_logits=True)
            return crossed * ops.sum(true * weights, axis=-1)

        return categorical
    present = np.clip(np.sqrt((1 - share) / share), 1 / MOST, MOST).astype(np.float32)

    def binary(true: keras.KerasTensor, logits: keras.KerasTensor) -> keras.KerasTensor:
        return ops.mean(true * present * ops.softplus(-logits) + (1 - true) * ops.softplus(logits), axis=-1)

    return binary

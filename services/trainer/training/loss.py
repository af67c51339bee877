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
"""Of truth and logits, (images, labels) each, gives one number per image."""

MOST: Final = 5.0
"""The most that a rare label weighs against a common one."""


def weights_of(task: Task, truth: NDArray[np.float32]) -> NDArray[np.float32]:
    """What each label weighs where it is true, by how rare it is.

    The square root of the odds against it: enough that a rare defect is learned, not so much that every image seems
    to show it.

    Args:
        task: of the recipe.
        truth: (images, labels) of the training part, 0 or 1.
    """
    share = np.clip(truth.mean(axis=0), 1e-6, 1 - 1e-6)
    odds = 1 / (share * truth.shape[1]) if task is Task.EXCLUSIVE else (1 - share) / share
    return np.asarray(np.clip(np.sqrt(odds), 1 / MOST, MOST), np.float32)


def loss_of(task: Task, truth: NDArray[np.float32]) -> Loss:
    """The loss for a recipe's task, weighted by `weights_of` its labels.

    Args:
        task: binary cross-entropy per label, or categorical over all.
        truth: (images, labels) of the training part, 0 or 1.
    """
    weights = weights_of(task, truth)

    def categorical(true: keras.KerasTensor, logits: keras.KerasTensor) -> keras.KerasTensor:
        crossed = keras.losses.categorical_crossentropy(true, logits, from_logits=True)
        return crossed * ops.sum(true * weights, axis=-1)

    def binary(true: keras.KerasTensor, logits: keras.KerasTensor) -> keras.KerasTensor:
        return ops.mean(true * weights * ops.softplus(-logits) + (1 - true) * ops.softplus(logits), axis=-1)

    return categorical if task is Task.EXCLUSIVE else binary

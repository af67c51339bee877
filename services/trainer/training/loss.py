"""The loss of a training: cross-entropy with larger weights for rare labels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from shared.recipe import Task

Loss = Callable[[keras.KerasTensor, keras.KerasTensor], keras.KerasTensor]
"""Takes truth and logits, (images, labels) each, and returns the loss of each image, (images,)."""

LARGEST_WEIGHT: Final = 5.0
"""The weight of a label is at most this, and at least its reciprocal."""


def weights_of(task: Task, truth: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the weight of each label in images that have it, (labels,).

    The weight is the square root of the odds against the label. With it a rare defect is learned; with the odds
    themselves the network would find the defect in too many images.

    Args:
        task: the task of the recipe.
        truth: (images, labels) of the training split, 0 or 1.
    """
    share = np.clip(truth.mean(axis=0), 1e-6, 1 - 1e-6)
    odds = 1 / (share * truth.shape[1]) if task is Task.EXCLUSIVE else (1 - share) / share
    return np.asarray(np.clip(np.sqrt(odds), 1 / LARGEST_WEIGHT, LARGEST_WEIGHT), np.float32)


def loss_of(task: Task, truth: NDArray[np.float32]) -> Loss:
    """Return the loss for a task, with the weights of `weights_of`.

    Args:
        task: binary cross-entropy per label for multi-label tasks, categorical cross-entropy for exclusive labels.
        truth: (images, labels) of the training split, 0 or 1.
    """
    weights = weights_of(task, truth)

    def categorical(true: keras.KerasTensor, logits: keras.KerasTensor) -> keras.KerasTensor:
        crossed = keras.losses.categorical_crossentropy(true, logits, from_logits=True)
        return crossed * ops.sum(true * weights, axis=-1)

    def binary(true: keras.KerasTensor, logits: keras.KerasTensor) -> keras.KerasTensor:
        return ops.mean(true * weights * ops.softplus(-logits) + (1 - true) * ops.softplus(logits), axis=-1)

    return categorical if task is Task.EXCLUSIVE else binary

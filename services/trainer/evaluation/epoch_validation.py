"""Measure a network between two epochs."""

from __future__ import annotations

import keras
import numpy as np

from services.trainer.datasets.pixels import PixelStore, Rows
from services.trainer.errors import TrainerError
from services.trainer.evaluation.evaluate import macro_average_precision
from services.trainer.evaluation.logits import logits_of
from shared.recipe import Task
from shared.verdict import scores_of


class DivergedTraining(TrainerError):
    """The loss or the network's outputs are not finite."""


class Validator:
    """Measures a network on the validation split."""

    def __init__(self, store: PixelStore, rows: Rows, task: Task) -> None:
        self._store = store
        self._rows = rows
        self._task = task
        self._truth = store.labels[rows]

    def __call__(self, network: keras.Model) -> dict[str, float]:
        """Return the figures of an epoch.

        They are ``val_loss`` (cross-entropy, unweighted), ``val_average_precision`` (mean over the labels), and the
        number of images, ``val_images``.

        Raises:
            DivergedTraining: the network's outputs are not finite.
        """
        logits = logits_of(network, self._store, self._rows)
        if not np.isfinite(logits).all():
            raise DivergedTraining("the network's outputs are not finite: choose a smaller learning_rate")
        scores = scores_of(logits, self._task)
        scores64 = scores.astype(np.float64)
        likelihood = np.clip(np.where(self._truth > 0, scores64, 1 - scores64), 1e-7, 1)
        if self._task is Task.EXCLUSIVE:
            likelihood = likelihood[self._truth > 0]
        return {
            "val_loss": float(-np.log(likelihood).mean()),
            "val_average_precision": macro_average_precision(self._truth, scores),
            "val_images": float(len(self._truth)),
        }

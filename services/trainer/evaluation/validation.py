"""How good a network is between two epochs, in two numbers."""

from __future__ import annotations

from typing import Final

import keras
import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from services.trainer.datasets.pixels import PixelStore, Rows
from services.trainer.errors import TrainerError
from shared.engines.port import Engine, Logits
from shared.recipe import Task
from shared.verdict import scores_of

BATCH: Final = 64


class DivergedTraining(TrainerError):
    """The loss, or what the network says, is no number any more."""


def logits_of(network: keras.Model, store: PixelStore, rows: Rows) -> Logits:
    """What a network says about some images: (rows, labels)."""
    return np.concatenate([np.asarray(network.predict_on_batch(store.prepared(batch))) for batch in _batches(rows)])


def engine_logits(engine: Engine, store: PixelStore, rows: Rows) -> Logits:
    """What an engine of the line says about the same images: (rows, labels)."""
    return np.concatenate([engine.logits(store.prepared(batch)) for batch in _batches(rows)])


def _batches(rows: Rows) -> list[Rows]:
    return [rows[at : at + BATCH] for at in range(0, len(rows), BATCH)]


def macro_average_precision(truth: NDArray[np.float32], scores: NDArray[np.float32]) -> float:
    """The mean over the labels of the area under precision and recall; a label that no image has is left out.

    Args:
        truth: (images, labels), 0 or 1.
        scores: (images, labels).

    Returns:
        0 to 1; 0 where no image has any label.
    """
    seen = np.flatnonzero(truth.any(axis=0))
    found = [average_precision_score(truth[:, label], scores[:, label]) for label in seen]
    return float(np.mean(found)) if found else 0.0


class Validator:
    """Judges a network on the validation part."""

    def __init__(self, store: PixelStore, rows: Rows, task: Task) -> None:
        self._store = store
        self._rows = rows
        self._task = task
        self._truth = store.labels[rows]

    def __call__(self, network: keras.Model) -> dict[str, float]:
        """``val_loss`` (cross-entropy, unweighted) and ``val_average_precision`` (over the labels).

        Raises:
            DivergedTraining: the network says something that is no number.
        """
        logits = logits_of(network, self._store, self._rows)
        if not np.isfinite(logits).all():
            raise DivergedTraining("the network's outputs are no numbers any more: ask for a smaller learning_rate")
        scores = scores_of(logits, self._task)
        return {
            "val_loss": self._cross_entropy(scores.astype(np.float64)),
            "val_average_precision": macro_average_precision(self._truth, scores),
        }

    def _cross_entropy(self, scores: NDArray[np.float64]) -> float:
        likely = np.clip(np.where(self._truth > 0, scores, 1 - scores), 1e-7, 1)
        if self._task is Task.EXCLUSIVE:
            return float(-np.log(likely[self._truth > 0]).mean())
        return float(-np.log(likely).mean())

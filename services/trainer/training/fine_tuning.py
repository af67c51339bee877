"""Fit the last layer of a pretrained network, before all of its layers are fine-tuned."""

from __future__ import annotations

from typing import Final

import keras
import numpy as np
from sklearn.linear_model import LogisticRegression

from services.trainer.datasets.pixels import PixelStore, Rows
from services.trainer.evaluation.logits import logits_of
from services.trainer.training.loss import weights_of
from shared.recipe import Task

LOGITS: Final = "logits"
REGULARISATION: Final = 0.01
"""scikit-learn's C, for features of deviation 1: there are many features and few images."""
ITERATIONS: Final = 1000
SMALLEST_SHARE: Final = 1e-3
"""Assumed for a label that no image of the training split has."""


def fit_last_layer(network: keras.Model, store: PixelStore, rows: Rows, task: Task) -> None:
    """Fit the last layer alone, by logistic regression on its inputs.

    Fine-tuning all layers at once, with a random last layer, would destroy what the others have learned (Kumar et al.
    2022, arXiv 2202.10054). Labels have the weights of `services.trainer.training.loss`.

    Args:
        network: with weights that were trained on other images.
        store: the images.
        rows: the rows of the training split; their images are not augmented.
        task: of the recipe.
    """
    last = network.get_layer(LOGITS)
    features = logits_of(keras.Model(network.inputs, last.input), store, rows)
    mean, deviation = features.mean(axis=0), np.maximum(features.std(axis=0), 1e-6)
    scaled, truth = (features - mean) / deviation, store.labels[rows]
    weights = weights_of(task, truth)
    share = np.clip(truth.mean(axis=0), SMALLEST_SHARE, 1 - SMALLEST_SHARE)
    kernel = np.zeros((features.shape[1], truth.shape[1]), np.float32)
    bias = np.asarray(np.log(share / (1 - share)), np.float32)
    classes = np.flatnonzero(truth.any(axis=0))
    if task is Task.EXCLUSIVE and len(classes) > 1:
        fitted = _regression({int(label): float(weights[label]) for label in classes})
        fitted.fit(scaled, truth.argmax(axis=1))
        of_two = len(classes) == 2  # scikit-learn then gives the second class alone
        kernel[:, classes] = np.vstack([-fitted.coef_ / 2, fitted.coef_ / 2] if of_two else fitted.coef_).T
        bias[classes] = np.hstack([-fitted.intercept_ / 2, fitted.intercept_ / 2] if of_two else fitted.intercept_)
    elif task is Task.MULTI_LABEL:
        for label, (column, weight) in enumerate(zip(truth.T > 0, weights, strict=True)):
            if column.any() and not column.all():
                fitted = _regression({False: 1.0, True: float(weight)}).fit(scaled, column)
                kernel[:, label], bias[label] = fitted.coef_[0], fitted.intercept_[0]
    kernel = kernel / deviation[:, np.newaxis]
    last.set_weights([kernel, bias - mean @ kernel])


def _regression(weights: dict[int, float]) -> LogisticRegression:
    return LogisticRegression(C=REGULARISATION, max_iter=ITERATIONS, class_weight=weights)

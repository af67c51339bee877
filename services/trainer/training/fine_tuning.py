"""From a network that has seen millions of images to one for a product with hundreds: its last layer first."""

from __future__ import annotations

from typing import Final

import keras
import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from services.trainer.datasets.pixels import PixelStore, Rows
from services.trainer.evaluation.validation import logits_of
from services.trainer.training.loss import weights_of
from shared.recipe import Task

LOGITS: Final = "logits"
REGULARISATION: Final = 0.01
"""What scikit-learn calls C, for features of deviation 1: features are many, images few."""
ITERATIONS: Final = 1000
LEAST_SHARE: Final = 1e-3
"""Of a label that no image of the training part has."""

Numbers = NDArray[np.float32]


def fit_head(network: keras.Model, store: PixelStore, rows: Rows, task: Task) -> None:
    """Fit the last layer, and it alone, by logistic regression on what the layers before it give.

    Fine-tuning all layers at once from a last layer drawn by lot would spoil what the others know (Kumar et al. 2022,
    arXiv 2202.10054). Labels weigh as in `services.trainer.training.loss`.

    Args:
        network: with weights that were trained on other images.
        store: the images.
        rows: those to learn from, as they are: without augmentation.
        task: of the recipe.
    """
    head = network.get_layer(LOGITS)
    features = logits_of(keras.Model(network.inputs, head.input), store, rows)
    mean, deviation = features.mean(axis=0), np.maximum(features.std(axis=0), 1e-6)
    fit = _one_of_many if task is Task.EXCLUSIVE else _each_by_itself
    kernel, bias = fit((features - mean) / deviation, store.labels[rows])
    kernel = kernel / deviation[:, np.newaxis]
    head.set_weights([kernel, bias - mean @ kernel])


def _each_by_itself(features: Numbers, truth: Numbers) -> tuple[Numbers, Numbers]:
    """Kernel (features, labels) and bias (labels) of a regression per label."""
    weights = weights_of(Task.MULTI_LABEL, truth)
    kernel, bias = np.zeros((features.shape[1], truth.shape[1]), np.float32), _log_odds(truth)
    for label, (column, weight) in enumerate(zip(truth.T > 0, weights, strict=True)):
        if column.any() and not column.all():
            fitted = _regression({False: 1.0, True: float(weight)}).fit(features, column)
            kernel[:, label], bias[label] = fitted.coef_[0], fitted.intercept_[0]
    return kernel, bias


def _one_of_many(features: Numbers, truth: Numbers) -> tuple[Numbers, Numbers]:
    """Kernel (features, labels) and bias (labels) of one regression on all labels."""
    weights = weights_of(Task.EXCLUSIVE, truth)
    kernel, bias = np.zeros((features.shape[1], truth.shape[1]), np.float32), _log_odds(truth)
    classes = np.flatnonzero(truth.any(axis=0))
    if len(classes) > 1:
        fitted = _regression({int(label): float(weights[label]) for label in classes})
        fitted.fit(features, truth.argmax(axis=1))
        of_two = len(classes) == 2
        kernel[:, classes] = np.vstack([-fitted.coef_ / 2, fitted.coef_ / 2] if of_two else fitted.coef_).T
        bias[classes] = np.hstack([-fitted.intercept_ / 2, fitted.intercept_ / 2] if of_two else fitted.intercept_)
    return kernel, bias


def _regression(weights: dict[int, float]) -> LogisticRegression:
    return LogisticRegression(C=REGULARISATION, max_iter=ITERATIONS, class_weight=weights)


def _log_odds(truth: Numbers) -> Numbers:
    share = np.clip(truth.mean(axis=0), LEAST_SHARE, 1 - LEAST_SHARE)
    return np.asarray(np.log(share / (1 - share)), np.float32)

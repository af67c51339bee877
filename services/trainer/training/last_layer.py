"""Fit the last layer of a network with pretrained weights, by logistic regression on its frozen features."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import keras
import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from services.trainer.datasets.pixels import PixelStore, Rows
from services.trainer.evaluation.logits import batches
from shared.engines.compile import compile_for_openvino
from shared.engines.openvino import OpenVinoEngine
from shared.engines.port import Logits
from shared.recipe import Augmentation, Task

LOGITS: Final = "logits"
REGULARISATIONS: Final = (0.0003, 0.001, 0.003, 0.01, 0.03)
"""The values of scikit-learn's C that are tried, for features with a standard deviation of 1; ascending."""
REGULARISATION: Final = 0.01
"""The C of the last layer from which fine-tuning starts."""
ITERATIONS: Final = 300
TOLERANCE: Final = 1e-3
SMALLEST_SHARE: Final = 1e-3
"""Least share of images with or without a label that is assumed for the initial bias."""

MOST_FLIPPED: Final = 5000
"""Most images of which flipped copies are made."""
SMALLEST_DEVIATION: Final = 0.2
"""Least standard deviation that is assumed of a feature, as a share of the median of all features.

Otherwise a feature that hardly varies among the images learned from would decide alone about an image where it does."""
ROUNDING: Final = 1e-6
"""Least standard deviation that is assumed where half of the features do not vary at all."""
LARGEST_SPACE: Final = 1024
"""Most directions of a `Space`."""
MOST_IMAGES: Final = 2000
"""Most images, chosen at random, from which the directions are computed; the time grows with the third power."""
SMALLEST_STRENGTH: Final = 1e-6
"""Least eigenvalue of a direction as a share of the largest eigenvalue; smaller ones are rounding errors."""

Features = NDArray[np.float32]
"""(images, features), the inputs of the last layer."""
Copies = NDArray[np.float32]
"""(copies, images, features): first of the unchanged images, then of flipped images."""


@dataclass(frozen=True)
class LastLayer:
    """The weights of a dense layer to logits."""

    kernel: NDArray[np.float32]
    """(features or directions, labels)"""
    bias: NDArray[np.float32]
    """(labels,)"""

    def logits(self, values: Features) -> Logits:
        return np.asarray(values @ self.kernel + self.bias, np.float32)


def learned_features(
    network: keras.Model,
    store: PixelStore,
    rows: Rows,
    allowed: Augmentation,
    on_share: Callable[[float], None] = lambda _share: None,
) -> Copies:
    """Return the inputs of the last layer, computed by the engine that will run the network on the line.

    The first copy is of the unchanged images. The other copies are of flipped images, if the recipe allows the flips
    and there are at most `MOST_FLIPPED` images; copies of more images bring little and need much memory.

    Args:
        network: a network with a last layer.
        store: the images.
        rows: the rows of the images.
        allowed: the flips that leave the labels true.
        on_share: receives the share of the images whose features are computed, 0 to 1.
    """
    compiled = compile_for_openvino(keras.Model(network.input, network.get_layer(LOGITS).input), "features")
    engine = OpenVinoEngine(compiled.xml, compiled.weights)
    flips = [(1, 1)]
    if len(rows) <= MOST_FLIPPED:
        flips += [(1, -1)] * allowed.flip_horizontal + [(-1, 1)] * allowed.flip_vertical
    copies: list[list[Features]] = [[] for _ in flips]
    for batch in batches(rows):
        on_share(sum(map(len, copies[0])) / len(rows))
        images = store.prepared(batch)
        for copy, (down, across) in zip(copies, flips, strict=True):
            copy.append(engine.answer(images[:, ::down, ::across]))
    return np.stack([np.concatenate(copy) for copy in copies])


@dataclass(frozen=True)
class Space:
    """The principal directions of images' features, scaled to a standard deviation of 1, or of their weight, at most.

    A regression is fast there.

    With at most `LARGEST_SPACE` images the directions span all features of the images, so a regularised regression has
    the same result as on the features themselves.
    """

    mean: Features
    deviation: Features
    basis: NDArray[np.float32]
    """(features, directions)"""

    @classmethod
    def of(cls, features: Features, weights: NDArray[np.float32] | None = None) -> Space:
        """Return the space of some features, (images, features); ``weights``, (features,), are their deviations."""
        mean, deviation = features.mean(axis=0), features.std(axis=0)
        least = max(SMALLEST_DEVIATION * float(np.median(deviation)), ROUNDING)
        deviation = np.maximum(deviation, least)
        if weights is not None:
            with np.errstate(divide="ignore"):  # a feature without weight is divided by infinity
                deviation = deviation / weights
        chosen = np.random.default_rng(0).permutation(len(features))[:MOST_IMAGES]
        scaled = ((features[chosen] - mean) / deviation).astype(np.float64)
        size = min(len(scaled), LARGEST_SPACE)
        strengths, directions = eigh(scaled @ scaled.T, subset_by_index=[len(scaled) - size, len(scaled) - 1])
        real = strengths > strengths.max() * SMALLEST_STRENGTH
        basis = scaled.T @ (directions[:, real] / np.sqrt(strengths[real]))
        return cls(mean, deviation, np.asarray(basis, np.float32))

    def project(self, features: Features) -> Features:
        """Return the coordinates of features in the directions, (…, images, directions), of (…, images, features)."""
        return np.asarray((features - self.mean) / self.deviation @ self.basis, np.float32)

    def layer(self, kernel: NDArray[np.floating], bias: NDArray[np.floating]) -> LastLayer:
        """Convert a layer on directions, with kernel (directions, labels) and bias (labels,), into one on features."""
        on_features = np.asarray(self.basis @ kernel / self.deviation[:, np.newaxis], np.float32)
        return LastLayer(on_features, np.asarray(bias - self.mean @ on_features, np.float32))


def regression(values: Features, truth: NDArray[np.float32], task: Task, regularisation: float) -> LastLayer:
    """Fit a layer by logistic regression.

    Args:
        values: (images, directions), coordinates in a `Space`.
        truth: (images, labels), 0 or 1.
        task: one regression for each label, or one for all exclusive labels.
        regularisation: scikit-learn's C; smaller is smoother.
    """
    share = np.clip(truth.mean(axis=0), SMALLEST_SHARE, 1 - SMALLEST_SHARE)
    kernel = np.zeros((values.shape[1], truth.shape[1]), np.float32)
    bias = np.asarray(np.log(share / (1 - share)), np.float32)
    classes = np.flatnonzero(truth.any(axis=0))
    fitted = LogisticRegression(C=regularisation, max_iter=ITERATIONS, tol=TOLERANCE)
    with threadpool_limits(1, user_api="blas"):  # the steps are too short for threads, which would wait for each other
        if task is Task.EXCLUSIVE and len(classes) > 1:
            fitted.fit(values, truth.argmax(axis=1))
            of_two = len(classes) == 2  # scikit-learn then has coefficients of the second class only
            kernel[:, classes] = np.vstack([-fitted.coef_ / 2, fitted.coef_ / 2] if of_two else fitted.coef_).T
            bias[classes] = np.hstack([-fitted.intercept_ / 2, fitted.intercept_ / 2] if of_two else fitted.intercept_)
        elif task is Task.MULTI_LABEL:
            for label, column in enumerate(truth.T > 0):
                if column.any() and not column.all():
                    fitted.fit(values, column)
                    kernel[:, label], bias[label] = fitted.coef_[0], fitted.intercept_[0]
    return LastLayer(kernel, bias)


def fit_last_layer(network: keras.Model, store: PixelStore, rows: Rows, task: Task) -> None:
    """Fit the last layer alone, before all layers are fine-tuned.

    Fine-tuning all layers at once with a random last layer would destroy the pretrained features (Kumar et al. 2022,
    arXiv 2202.10054).

    Args:
        network: a network with pretrained weights.
        store: the images.
        rows: the rows of the training split; their images are not augmented.
        task: the task of the recipe.
    """
    (features,) = learned_features(network, store, rows, Augmentation())
    space = Space.of(features)
    fitted = regression(space.project(features), store.labels[rows], task, REGULARISATION)
    layer = space.layer(fitted.kernel, fitted.bias)
    network.get_layer(LOGITS).set_weights([layer.kernel, layer.bias])


def fit_by_folds(
    copies: Copies,
    truth: NDArray[np.float32],
    folds: NDArray[np.int64],
    task: Task,
    *,
    weights: NDArray[np.float32] | None = None,
    regularisations: Sequence[float] = (),
) -> FittedByFolds:
    """Fit the last layer to all copies of all images, and once for each fold to the copies of the other folds.

    The regularisations are tried in ascending order, until the cross-entropy out of fold grows; the value before is
    used.

    Args:
        copies: the features of the images.
        truth: (images, labels), 0 or 1.
        folds: (images,), the fold of each image; no group is in two folds.
        task: the task of the recipe.
        weights: (features,), how much each feature counts; None: all count the same.
        regularisations: ascending; by default `REGULARISATIONS`.
    """
    space = Space.of(copies[0], weights)
    values = space.project(copies)
    best, out_of_fold, least = 0.0, np.empty(0, np.float32), np.inf
    for regularisation in regularisations or REGULARISATIONS:
        logits = score_out_of_fold(values, truth, folds, task, regularisation=regularisation)
        if (loss := cross_entropy(logits, truth, task)) > least:
            break
        best, out_of_fold, least = regularisation, logits, loss
    fitted = _fit_copies(values, truth, task, best)
    return FittedByFolds(space.layer(fitted.kernel, fitted.bias), out_of_fold, best, values, space)


def fit_without(
    fitted: FittedByFolds, truth: NDArray[np.float32], held_out: NDArray[np.bool_], task: Task
) -> LastLayer:
    """Fit the last layer again, with the same regularisation, but not to the held-out images.

    Args:
        fitted: the result of `fit_by_folds`.
        truth: (images, labels), 0 or 1.
        held_out: (images,), True for held-out images.
        task: the task of the recipe.
    """
    layer = _fit_copies(fitted.values[:, ~held_out], truth[~held_out], task, fitted.regularisation)
    return fitted.space.layer(layer.kernel, layer.bias)


@dataclass(frozen=True)
class FittedByFolds:
    """A last layer, and the logits of all images out of fold."""

    layer: LastLayer
    """The layer that was fitted to all images."""
    out_of_fold: Logits
    """(images, labels), the logits of each image by a layer that was fitted to the other folds."""
    regularisation: float
    values: Copies
    """(copies, images, directions), the coordinates to which the layers were fitted."""
    space: Space


def cross_entropy(logits: Logits, truth: NDArray[np.float32], task: Task) -> float:
    """Return the mean cross-entropy, in nats."""
    return float(cross_entropies(logits, truth, task).mean())


def cross_entropies(logits: Logits, truth: NDArray[np.float32], task: Task) -> NDArray[np.float64]:
    """Return the cross-entropy of each image, (images,), in nats; of labels that are not exclusive, their mean."""
    exact = logits.astype(np.float64)
    if task is Task.EXCLUSIVE:
        highest = exact.max(axis=1)
        total = highest + np.log(np.exp(exact - highest[:, np.newaxis]).sum(axis=1))
        return np.asarray(total - (exact * truth).sum(axis=1))
    return np.asarray((np.logaddexp(0, exact) - exact * truth).mean(axis=1))


def score_out_of_fold(
    values: Copies,
    truth: NDArray[np.float32],
    folds: NDArray[np.int64],
    task: Task,
    *,
    regularisation: float,
    learned: NDArray[np.bool_] | None = None,
) -> Logits:
    """Return the logits of each image by a layer that was fitted to the other folds.

    If ``learned`` is given, (folds, images), each layer is fitted only to those images of the other folds.
    """
    logits = np.empty(truth.shape, np.float32)
    numbers = np.unique(folds)
    if learned is None:
        learned = folds != numbers[:, np.newaxis]
    for fold, chosen in zip(numbers, learned, strict=True):
        held_out = folds == fold
        layer = _fit_copies(values[:, chosen], truth[chosen], task, regularisation)
        logits[held_out] = layer.logits(values[0, held_out])
    return logits


def _fit_copies(values: Copies, truth: NDArray[np.float32], task: Task, regularisation: float) -> LastLayer:
    return regression(np.concatenate(values), np.tile(truth, (len(values), 1)), task, regularisation / len(values))

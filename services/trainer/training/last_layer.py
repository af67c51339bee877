"""Fit the last layer of a network with pretrained weights, by logistic regression on its frozen features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import keras
import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh
from sklearn.linear_model import LogisticRegression

from services.trainer.datasets.pixels import PixelStore, Rows
from services.trainer.evaluation.logits import batches
from shared.engines.compile import compile_for_openvino
from shared.engines.openvino import OpenVinoEngine
from shared.engines.port import Logits
from shared.recipe import Augmentation, Task

LOGITS: Final = "logits"
REGULARISATIONS: Final = (0.0003, 0.001, 0.003, 0.01, 0.03)
"""Values of scikit-learn's C that are tried, for features of deviation 1: there are many features and few images."""
REGULARISATION: Final = 0.01
"""Of a last layer that fine-tuning starts from."""
ITERATIONS: Final = 300
TOLERANCE: Final = 1e-3
SMALLEST_SHARE: Final = 1e-3
"""Assumed for a label that no image has."""

MOST_FLIPPED: Final = 5000
SMALLEST_DEVIATION: Final = 1e-6
LARGEST_SPACE: Final = 512
"""Directions at most."""
MOST_IMAGES: Final = 2000
"""From which the directions are found, at random: the time grows with the third power of their number."""
SMALLEST_STRENGTH: Final = 1e-6
"""Of a direction, as a share of the strongest: weaker ones are rounding."""

Features = NDArray[np.float32]
"""(images, features), the inputs of the last layer."""
Copies = NDArray[np.float32]
"""(copies, images, features), of the images as they are, and of flipped ones."""


@dataclass(frozen=True)
class LastLayer:
    """The weights of a dense layer to logits."""

    kernel: NDArray[np.float32]
    """(features or directions, labels)"""
    bias: NDArray[np.float32]
    """(labels,)"""

    def logits(self, values: Features) -> Logits:
        return np.asarray(values @ self.kernel + self.bias, np.float32)


def learned_features(network: keras.Model, store: PixelStore, rows: Rows, allowed: Augmentation) -> Copies:
    """Return the inputs of the last layer, computed by the engine that will run the network on the line.

    The first copy is that of the images as they are. The others are those of the flipped images that the recipe allows,
    unless there are more than `MOST_FLIPPED` images: these show enough by themselves, and their copies take memory.
    """
    compiled = compile_for_openvino(keras.Model(network.input, network.get_layer(LOGITS).input), "features")
    engine = OpenVinoEngine(compiled.xml, compiled.weights)
    flips = [(1, 1)]
    if len(rows) <= MOST_FLIPPED:
        flips += [(1, -1)] * allowed.flip_horizontal + [(-1, 1)] * allowed.flip_vertical
    copies: list[list[Features]] = [[] for _ in flips]
    for batch in batches(rows):
        images = store.prepared(batch)
        for copy, (down, across) in zip(copies, flips, strict=True):
            copy.append(engine.answer(images[:, ::down, ::across]))
    return np.stack([np.concatenate(copy) for copy in copies])


@dataclass(frozen=True)
class Space:
    """The main directions of the features of some images, scaled to deviation 1, in which a regression is fast.

    With at most `LARGEST_SPACE` images nothing is lost: a regularised regression is a sum of its images' features.
    """

    mean: Features
    deviation: Features
    basis: NDArray[np.float32]
    """(features, directions)"""

    @classmethod
    def of(cls, features: Features) -> Space:
        mean, deviation = features.mean(axis=0), np.maximum(features.std(axis=0), SMALLEST_DEVIATION)
        chosen = np.random.default_rng(0).permutation(len(features))[:MOST_IMAGES]
        scaled = ((features[chosen] - mean) / deviation).astype(np.float64)
        size = min(len(scaled), LARGEST_SPACE)
        strengths, directions = eigh(scaled @ scaled.T, subset_by_index=[len(scaled) - size, len(scaled) - 1])
        real = strengths > strengths.max() * SMALLEST_STRENGTH
        basis = scaled.T @ (directions[:, real] / np.sqrt(strengths[real]))
        return cls(mean, deviation, np.asarray(basis, np.float32))

    def project(self, features: Features) -> Features:
        """Return the directions' values: (…, images, directions) of (…, images, features)."""
        return np.asarray((features - self.mean) / self.deviation @ self.basis, np.float32)

    def layer(self, kernel: NDArray[np.floating], bias: NDArray[np.floating]) -> LastLayer:
        """Return the layer on features that equals one on directions, (directions, labels) and (labels,)."""
        on_features = np.asarray(self.basis @ kernel / self.deviation[:, np.newaxis], np.float32)
        return LastLayer(on_features, np.asarray(bias - self.mean @ on_features, np.float32))


def regression(values: Features, truth: NDArray[np.float32], task: Task, regularisation: float) -> LastLayer:
    """Fit a layer by logistic regression.

    Args:
        values: (images, directions), of a `Space`.
        truth: (images, labels), 0 or 1.
        task: one regression for each label, or one for all exclusive labels.
        regularisation: scikit-learn's C; smaller is smoother.
    """
    share = np.clip(truth.mean(axis=0), SMALLEST_SHARE, 1 - SMALLEST_SHARE)
    kernel = np.zeros((values.shape[1], truth.shape[1]), np.float32)
    bias = np.asarray(np.log(share / (1 - share)), np.float32)
    classes = np.flatnonzero(truth.any(axis=0))
    fitted = LogisticRegression(C=regularisation, max_iter=ITERATIONS, tol=TOLERANCE)
    if task is Task.EXCLUSIVE and len(classes) > 1:
        fitted.fit(values, truth.argmax(axis=1))
        of_two = len(classes) == 2  # scikit-learn then gives the second class alone
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

    Fine-tuning all layers at once, with a random last layer, would destroy what the others have learned (Kumar et al.
    2022, arXiv 2202.10054).

    Args:
        network: with weights that were trained on other images.
        store: the images.
        rows: the rows of the training split; their images are not augmented.
        task: of the recipe.
    """
    (features,) = learned_features(network, store, rows, Augmentation())
    space = Space.of(features)
    fitted = regression(space.project(features), store.labels[rows], task, REGULARISATION)
    layer = space.layer(fitted.kernel, fitted.bias)
    network.get_layer(LOGITS).set_weights([layer.kernel, layer.bias])


def fit_by_folds(copies: Copies, truth: NDArray[np.float32], folds: NDArray[np.int64], task: Task) -> FittedByFolds:
    """Fit the last layer to all copies of all images, and to those of all but one fold for each fold.

    The regularisation is the one with the least cross-entropy out of fold; from the smoothest on, the first after which
    it grows.

    Args:
        copies: of the images.
        truth: (images, labels), 0 or 1.
        folds: (images,), the fold of each image; no group is in two folds.
        task: of the recipe.
    """
    space = Space.of(copies[0])
    values = space.project(copies)
    best, out_of_fold, least = 0.0, np.empty(0, np.float32), np.inf
    for regularisation in REGULARISATIONS:
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
        fitted: the layer that was fitted to all images.
        truth: (images, labels), 0 or 1.
        held_out: (images,).
        task: of the recipe.
    """
    layer = _fit_copies(fitted.values[:, ~held_out], truth[~held_out], task, fitted.regularisation)
    return fitted.space.layer(layer.kernel, layer.bias)


@dataclass(frozen=True)
class FittedByFolds:
    """A last layer, and how it would score images that it did not learn from."""

    layer: LastLayer
    """Fitted to all images."""
    out_of_fold: Logits
    """(images, labels), each image by a layer that was fitted to the other folds."""
    regularisation: float
    values: Copies
    """(copies, images, directions), what the layers were fitted to."""
    space: Space


def cross_entropy(logits: Logits, truth: NDArray[np.float32], task: Task) -> float:
    """Return the mean cross-entropy, in nats."""
    exact = logits.astype(np.float64)
    if task is Task.EXCLUSIVE:
        highest = exact.max(axis=1)
        total = highest + np.log(np.exp(exact - highest[:, np.newaxis]).sum(axis=1))
        return float((total - (exact * truth).sum(axis=1)).mean())
    return float((np.logaddexp(0, exact) - exact * truth).mean())


def score_out_of_fold(
    values: Copies,
    truth: NDArray[np.float32],
    folds: NDArray[np.int64],
    task: Task,
    *,
    regularisation: float,
    part: NDArray[np.bool_] | None = None,
) -> Logits:
    """Return the logits of each image by a layer that was fitted to the other folds, or to a part of their images."""
    logits = np.empty(truth.shape, np.float32)
    for fold in np.unique(folds):
        held_out = folds == fold
        learned = ~held_out if part is None else ~held_out & part
        layer = _fit_copies(values[:, learned], truth[learned], task, regularisation)
        logits[held_out] = layer.logits(values[0, held_out])
    return logits


def _fit_copies(values: Copies, truth: NDArray[np.float32], task: Task, regularisation: float) -> LastLayer:
    return regression(np.concatenate(values), np.tile(truth, (len(values), 1)), task, regularisation / len(values))

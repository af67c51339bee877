"""Choose by the data what the last layer sees of a network's features: which depths, and whether by a kernel."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from time import monotonic
from typing import Final

import keras
import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans

from services.trainer.architectures.kernel_layers import Kernel
from services.trainer.architectures.lite0_depths import BESIDE_PARTS, compares_with_reference
from services.trainer.evaluation.evaluate import macro_average_precision
from services.trainer.training.last_layer import LOGITS, Copies, FittedByFolds, Space, cross_entropies, fit_by_folds
from services.trainer.training.time_limit import TimeLimit
from services.trainer.training.tried import Tried
from shared.engines.port import Logits
from shared.recipe import Task
from shared.verdict import scores_of

LANDMARKS: Final = 300
"""Landmarks of a kernel machine, at most; images, at least twice as many."""
KERNEL_REGULARISATIONS: Final = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
"""As `REGULARISATIONS`, for likenesses to landmarks."""
PAIRS: Final = 2_000
"""Random pairs of images whose median distance sets the width of the kernel."""
SMALLEST_DISTANCE: Final = 1e-6
PER_DEPTH: Final = 2
"""Vectors of each depth: the average and the maximum of its features."""

Weights = NDArray[np.float32]
"""(features,), how much each feature counts, 0 for nothing. The sum of their squares is the number of features."""


@dataclass(frozen=True)
class Head:
    """What a last layer sees of the features."""

    name: str
    """In words."""
    weights: Weights | None = None
    """None: all count the same."""
    is_kernel: bool = False


@dataclass(frozen=True)
class FittedHead:
    """A head with its last layer."""

    head: Head
    kernel: Kernel | None
    """None if the last layer sees the features themselves."""
    fitted: FittedByFolds

    def logits(self, features: NDArray[np.float32]) -> Logits:
        """Return the logits of features, (images, features), by the layer that was fitted to all images."""
        return self.fitted.layer.logits(features if self.kernel is None else self.kernel.likenesses(features))


def heads_of(network: keras.Model) -> Iterator[Head]:
    """Yield what a last layer may see of the features, the default first, the others by the gain that is expected.

    Depths count evenly: otherwise one with many features, as the deepest, outweighs the others.
    """
    sizes = pooled_sizes(network)
    evenly = [1 / size for size in sizes]
    weights = weights_of(sizes, evenly)
    yield Head("linear", weights)
    if compares_with_reference(network):
        yield Head("linear, the largest differences from the reference", largest_differences(sizes))
    if len(sizes) > PER_DEPTH:
        without = [*evenly[:-PER_DEPTH], *[0.0] * PER_DEPTH]
        yield Head("linear, without the deepest features", weights_of(sizes, without))
    yield Head("kernel", weights, is_kernel=True)


def pooled_sizes(network: keras.Model) -> list[int]:
    """Return the number of features of each vector that is concatenated before the last layer; one, if none is."""
    features = int(network.get_layer(LOGITS).input.shape[-1])
    for layer in reversed(network.layers):
        if isinstance(layer, keras.layers.Concatenate) and layer.output.shape[1:] == (features,):
            return [int(each.shape[-1]) for each in layer.input]
    return [features]


def largest_differences(sizes: Sequence[int]) -> Weights:
    """Return weights by which only the maxima of the differences from a reference count, depths evenly."""
    parts = [size // BESIDE_PARTS for size in sizes for _ in range(BESIDE_PARTS)]
    is_counted = [vector % PER_DEPTH == 1 and part > 0 for vector in range(len(sizes)) for part in range(BESIDE_PARTS)]
    return weights_of(parts, [counted / part for counted, part in zip(is_counted, parts, strict=True)])


def weights_of(sizes: Sequence[int], variances: Sequence[float]) -> Weights:
    """Return the weight of each feature, by the variance that the features of each vector have."""
    squares = np.repeat(np.asarray(variances, np.float64), sizes)
    return np.asarray(np.sqrt(squares * len(squares) / squares.sum()), np.float32)


def fit_kernel(features: NDArray[np.float32], weights: Weights | None) -> Kernel:
    """Return a kernel with landmarks that stand for images, and a width by which images of medium distance are alike.

    Landmarks are the centres of clusters, and no single images, because the likeness of an image to itself is another
    than that of an image that was not there.
    """
    space = Space.of(features, weights)
    places = space.project(features)
    rng = np.random.default_rng(0)
    one, other = places[rng.integers(len(places), size=PAIRS)], places[rng.integers(len(places), size=PAIRS)]
    distances = np.square(one - other).sum(axis=1)
    median = float(np.median(distances[distances > 0])) if (distances > 0).any() else SMALLEST_DISTANCE
    width = 1 / np.sqrt(max(median, SMALLEST_DISTANCE))
    count = max(1, min(LANDMARKS, len(np.unique(places, axis=0)) // 2))
    centres = KMeans(count, n_init=1, random_state=0).fit(places).cluster_centers_
    layer = space.layer(np.eye(space.basis.shape[1]) * width, np.zeros(space.basis.shape[1]))
    return Kernel(layer.kernel, layer.bias, np.asarray(centres * width, np.float32))


def fit_head(
    head: Head, copies: Copies, truth: NDArray[np.float32], folds: NDArray[np.int64], task: Task
) -> FittedHead:
    """Fit a last layer to what a head gives it; the arguments are those of `fit_by_folds`."""
    if not head.is_kernel:
        return FittedHead(head, None, fit_by_folds(copies, truth, folds, task, weights=head.weights))
    kernel = fit_kernel(copies[0], head.weights)
    likenesses = kernel.likenesses(copies)
    fitted = fit_by_folds(likenesses, truth, folds, task, regularisations=KERNEL_REGULARISATIONS)
    return FittedHead(head, kernel, fitted)


def choose_head(
    heads: Iterable[Head],
    copies: Copies,
    truth: NDArray[np.float32],
    folds: NDArray[np.int64],
    groups: Sequence[str],
    *,
    task: Task,
    limit: TimeLimit | None,
) -> tuple[FittedHead, tuple[Tried, ...]]:
    """Fit the first head, and the others while there is time; return the best one, and what was tried.

    Another head is taken only where it is better than the one before by more than the standard error of the difference.

    Args:
        heads: the default first.
        copies: the features of the images.
        truth: (images, labels), 0 or 1.
        folds: (images,), the fold of each image.
        groups: the group of each image.
        task: the task of the recipe.
        limit: the time that is given; None: enough.
    """
    best: FittedHead | None = None
    tried: list[Tried] = []
    took = 0.0
    for head in heads:
        if best and limit and not limit.allows(took):
            tried.append(Tried(head=head.name, remark="not tried: no time was left"))
            continue
        began = monotonic()
        fitted = fit_head(head, copies, truth, folds, task)
        took = monotonic() - began
        logits = fitted.fitted.out_of_fold
        tried.append(trial_of(logits, truth, task, head=head.name, seconds=took))
        if best is None or is_better(logits, best.fitted.out_of_fold, truth, groups, task):
            best = fitted
    if best is None:
        raise ValueError("give at least one head")
    return best, tuple(replace(each, chosen=each.head == best.head.name) for each in tried)


def trial_of(logits: Logits, truth: NDArray[np.float32], task: Task, *, head: str, seconds: float) -> Tried:
    """Return the row of a head in the table of what was tried."""
    return Tried(
        head=head,
        log_loss=round(float(cross_entropies(logits, truth, task).mean()), 4),
        average_precision=round(macro_average_precision(truth, scores_of(logits, task)), 4),
        seconds=round(seconds, 1),
    )


def is_better(logits: Logits, before: Logits, truth: NDArray[np.float32], groups: Sequence[str], task: Task) -> bool:
    """Return whether logits have a smaller cross-entropy than others, by more than the standard error.

    Images of one group are alike, so the error is that of whole groups.
    """
    lead = cross_entropies(before, truth, task) - cross_entropies(logits, truth, task)
    _, members = np.unique(np.asarray(groups), return_inverse=True)
    deviations = np.bincount(members, lead - lead.mean())
    return bool(lead.sum() > np.sqrt(np.square(deviations).sum()))

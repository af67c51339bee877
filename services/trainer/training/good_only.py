"""Learn what good parts look like from images of good parts alone (after PatchCore, Roth et al. 2022).

Patches of good images, described by frozen features, become a memory. An image is as unusual as its patch that is
farthest from anything in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import cv2
import keras
import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

from services.trainer.architectures.efficientnet_lite import has_weights
from services.trainer.architectures.lite0_patches import Memory, Usual, build_patches, with_memory
from services.trainer.architectures.pretraining import WeightsOrigin
from services.trainer.datasets.pixels import PixelStore, Rows
from services.trainer.evaluation.costs import is_ng
from services.trainer.evaluation.figures import Evaluation
from services.trainer.evaluation.threshold_choice import FEWEST_NG, good_bound
from services.trainer.training.checkpoint import TrainingListener
from services.trainer.training.options import WrongOption
from services.trainer.training.precision import FLOAT32, ComputeConfig, hardware_of_this_machine, record_run
from shared.contracts.training import ARCHITECTURES, TrainingOptions
from shared.datasets.good_only import ANOMALY
from shared.datasets.labelled_images import Dataset
from shared.datasets.tables import DatasetError
from shared.engines.compile import compile_for_openvino
from shared.engines.openvino import OpenVinoEngine
from shared.engines.port import Logits
from shared.explain.distance import DISTANCES
from shared.explain.network import by_tensorflow
from shared.recipe import ImageSpec, Recipe
from shared.verdict import has_verdicts

FEWEST_GOOD: Final = 10
"""Images of good parts that a memory needs, at least."""
POOL: Final = 60_000
"""Patches, at most, of which the memory is chosen; each good image gives the same number."""
PATCHES: Final = 2_000
"""Patches in memory, at most."""
DIRECTIONS: Final = 128
"""Numbers that describe a patch, at most."""
BLURRED: Final = 2.0
"""Deviation of the Gaussian, in places, over which the usual distances are averaged."""
EVENED: Final = 10
"""Images for which the mean variance of all places counts."""
BATCH: Final = 16
"""Images whose patches are in memory at once."""
SKETCH: Final = 32
"""Random directions in which the memory is chosen (Johnson and Lindenstrauss 1984)."""
SMALLEST_DEVIATION: Final = 1e-6
EVEN_OUT: Final = 0.01
"""Added to the variance of each direction, as a share of the mean: weaker directions are noise."""

Patches = NDArray[np.float32]
"""(patches, features or directions)"""


def why_good_only(
    dataset: Dataset, recipe: Recipe, architecture: str, options: TrainingOptions, weights: Path | None = None
) -> str | None:
    """Return in words why a model is learned from good images alone; None if it learns labels.

    Args:
        dataset: the images, with the labels of the recipe.
        recipe: says which labels make a part NG.
        architecture: the requested one.
        options: ``good_only`` decides; where it is None, the number of images that show an NG part.
        weights: the requested file of weights.

    Raises:
        WrongOption: no label says whether a part is good, or another option contradicts.
    """
    ng = int(is_ng(recipe, np.array([example.labels for example in dataset.examples], np.float32)).sum())
    good = len(dataset.examples) - ng
    default = architecture == next(iter(ARCHITECTURES))
    if recipe.good_by is not None and options.good_only is False:
        raise WrongOption(
            "option good_only: the recipe has good_by, so its model learns from good images alone: give a recipe with "
            "the labels to learn"
        )
    if options.good_only or recipe.good_by is not None:
        if not has_verdicts(recipe):
            raise WrongOption(
                "option good_only: no label of the recipe says whether a part is good: give one the role quality or "
                "defect"
            )
        if recipe.image.reference is not None:
            raise WrongOption(
                "option good_only: it compares with all good images: leave out the reference, here and in the recipe"
            )
        if not default or options.epochs:
            raise WrongOption("option good_only: its network is not chosen or tuned: leave out architecture and epochs")
        return (
            f"the model learned from the {good} images of good parts alone; its label {ANOMALY} says how unlike them "
            f"an image is, and the {ng} images of NG parts measure it"
        )
    asked = options.good_only is not None or not default or options.epochs is not None or recipe.image.reference
    automatic = not asked and has_verdicts(recipe)
    if not automatic or ng >= FEWEST_NG or good < FEWEST_GOOD or not has_weights(weights):
        return None
    return (
        f"{ng or 'no'} image{'s show' if ng != 1 else ' shows'} an NG part, and labels are learned from {FEWEST_NG} "
        f"on: the model learned from the {good} images of good parts alone, and its label {ANOMALY} says how unlike "
        "them an image is (option good_only; --no-good-only learns the labels all the same)"
    )


def power_of(evaluation: Evaluation) -> tuple[str, ...]:
    """Return in words how well a model of good images alone finds NG parts; nothing where no image shows one."""
    (label,) = evaluation.labels.values()
    if label.roc_auc is None:
        return ()
    low, high = label.intervals.get("roc_auc", (0.0, 1.0))
    return (
        f"an NG part is more unlike the good ones than another good part is in {label.roc_auc:.0%} of cases (AUROC "
        f"{label.roc_auc:.2f}, {low:.2f} to {high:.2f}, by {label.positives} images of NG and "
        f"{label.n - label.positives} of good parts; 0.5 is chance)",
    )


@dataclass(frozen=True)
class GoodOnly:
    """A network that learned from good images alone, and how it would score images that it did not learn from."""

    network: keras.Model
    origin: WeightsOrigin
    runs: list[dict[str, int | str]]
    out_of_fold: Logits
    """(images, 1), each image by a memory of the good images of the other folds."""


def fit_good_only(
    image: ImageSpec,
    store: PixelStore,
    rows: Rows,
    fold_of: NDArray[np.int64],
    options: TrainingOptions,
    *,
    listener: TrainingListener,
    weights: Path | None = None,
) -> GoodOnly:
    """Fit a memory to the good images, and measure all images out of fold.

    Images of parts that are not good are never learned from. They are measured by the memory without the good images of
    their own groups, as the good images are.

    Args:
        image: the input of the network.
        store: the images, with one label: whether the part is not good.
        rows: of the images.
        fold_of: (rows,), the fold of each image; no group is in two folds.
        options: the overkill that is allowed.
        listener: receives the progress.
        weights: a file of weights; by default, the installed ones.

    Raises:
        DatasetError: there are too few good images.
        WeightsError: there are no pretrained weights, or they don't fit.
    """
    good = store.labels[rows, 0] == 0
    if good.sum() < FEWEST_GOOD or len(np.unique(fold_of[good])) < 2:
        raise DatasetError(
            [
                f"{int(good.sum())} images of good parts are there to learn from, and {FEWEST_GOOD} of at least two "
                "groups are needed: add images of good parts, best a hundred or more, as the line will see them"
            ]
        )
    patches, origin = build_patches(image, weights)
    rng = np.random.default_rng(options.seed)
    listener.on_stage(f"collecting patches of {int(good.sum())} good images")
    reader = PatchReader(patches, store)
    pool, pool_rows = reader.pool(rows[good], rng)
    fold_of_row = dict(zip(rows.tolist(), fold_of.tolist(), strict=True))
    pool_folds = np.array([fold_of_row[row] for row in pool_rows.tolist()])
    nearest = np.empty((len(rows), *patches.output_shape[1:3]), np.float32)
    for fold in np.unique(fold_of):
        held_out = fold_of == fold
        listener.on_stage(f"comparing {int(held_out.sum())} images with good images of other groups, fold {fold + 1}")
        memory = memory_of(pool[pool_folds != fold], rng)
        nearest[held_out] = reader.distances(rows[held_out], memory)
    listener.on_stage("choosing the memory of all good images")
    memory = memory_of(pool, rng)
    largest = np.empty(len(rows), np.float32)
    for fold in np.unique(fold_of):
        held_out = fold_of == fold
        largest[held_out] = largest_of(nearest[held_out], usual_of(nearest[good & ~held_out]))
    deviation = max(float(largest[good].std()), SMALLEST_DEVIATION)
    bound = good_bound(largest[good], options.overkill)
    usual = replace(usual_of(nearest[good]), kernel=1 / deviation, bias=-bound / deviation)
    runs: list[dict[str, int | str]] = []
    record_run(runs, ComputeConfig(FLOAT32, hardware_of_this_machine().name), 1)
    logits = np.asarray((largest - bound) / deviation, np.float32)[:, np.newaxis]
    return GoodOnly(with_memory(patches, memory, usual), origin, runs, logits)


class PatchReader:
    """Computes the patches of images, by the engine that will run the network on the line."""

    def __init__(self, patches: keras.Model, store: PixelStore) -> None:
        compiled = compile_for_openvino(patches, "patches")
        self._engine = OpenVinoEngine(compiled.xml, compiled.weights)
        self._store = store
        self._shape = patches.output_shape[1:]

    def read(self, rows: Rows) -> Iterator[NDArray[np.float32]]:
        """Yield the patches of images batch by batch: (images, rows, columns, features)."""
        for start in range(0, len(rows), BATCH):
            yield self._engine.answer(self._store.prepared(rows[start : start + BATCH]))

    def pool(self, rows: Rows, rng: np.random.Generator) -> tuple[Patches, Rows]:
        """Return random patches of images, the same number of each, and the row of each patch."""
        height, width, features = self._shape
        count = min(height * width, max(1, POOL // len(rows)))
        found = [
            image.reshape(-1, features)[rng.permutation(height * width)[:count]]
            for batch in self.read(rows)
            for image in batch
        ]
        return np.concatenate(found), np.repeat(rows, count)

    def distances(self, rows: Rows, memory: Memory) -> NDArray[np.float32]:
        """Return the map of the distances of each image to a memory: (images, rows, columns)."""
        inputs, places = keras.Input(self._shape), self._shape[:2]
        raw = Usual(np.zeros(places, np.float32), np.ones(places, np.float32))
        network = with_memory(keras.Model(inputs, keras.layers.Identity()(inputs)), memory, raw)
        look = by_tensorflow(keras.Model(network.input, network.get_layer(DISTANCES).output))
        return np.concatenate([np.asarray(look(batch), np.float32)[..., 0] for batch in self.read(rows)])


def usual_of(maps: NDArray[np.float32]) -> Usual:
    """Return what distances good images have at each place, of their maps.

    Neighbouring places are alike, and so are all places where there are few images.

    Args:
        maps: (images, rows, columns), by a memory without the images.
    """
    images = len(maps)
    mean = cv2.GaussianBlur(maps.mean(axis=0), (0, 0), BLURRED)
    variance = cv2.GaussianBlur(np.square(maps - mean).mean(axis=0), (0, 0), BLURRED)
    evened = (images * variance + EVENED * variance.mean()) / (images + EVENED)
    return Usual(np.asarray(mean), np.sqrt(np.maximum(evened, SMALLEST_DEVIATION)))


def largest_of(maps: NDArray[np.float32], usual: Usual) -> NDArray[np.float32]:
    """Return the largest standardised distance of each image, 0 or more: (images,)."""
    return np.asarray(np.maximum((maps - usual.mean) / usual.deviation, 0).max(axis=(1, 2)), np.float32)


def memory_of(pool: Patches, rng: np.random.Generator) -> Memory:
    """Return a memory of good patches, which are given by their features."""
    kernel, bias = directions_of(pool)
    return Memory(kernel, bias, coreset(pool @ kernel + bias, rng))


def directions_of(pool: Patches) -> tuple[Patches, NDArray[np.float32]]:
    """Return kernel and bias that make the main directions of some patches, each with about the same variance.

    A distance then counts a difference in proportion to how rare it is among good patches, as Mahalanobis's does.
    """
    mean, deviation = pool.mean(axis=0), np.maximum(pool.std(axis=0), SMALLEST_DEVIATION)
    scaled = (pool - mean) / deviation
    features = scaled.shape[1]
    count = min(DIRECTIONS, features)
    variances, directions = eigh(
        (scaled.T @ scaled).astype(np.float64) / len(scaled), subset_by_index=[features - count, features - 1]
    )
    kernel = directions / np.sqrt(np.maximum(variances, 0) + EVEN_OUT * variances.mean()) / deviation[:, np.newaxis]
    return np.asarray(kernel, np.float32), np.asarray(-mean @ kernel, np.float32)


def coreset(pool: Patches, rng: np.random.Generator) -> Patches:
    """Return patches of which each other one is near: from a random one on, always the one farthest from all chosen.

    Distances are measured in random directions, which preserve them well enough (Roth et al. 2022, section 3.2).
    """
    if len(pool) <= PATCHES:
        return pool
    sketch = np.asarray(pool @ rng.normal(size=(pool.shape[1], SKETCH)), np.float32)
    squares = np.square(sketch).sum(axis=1)
    chosen = [int(rng.integers(len(pool)))]
    nearest = np.full(len(pool), np.inf, np.float32)
    while len(chosen) < PATCHES:
        newest = chosen[-1]
        np.minimum(nearest, squares - 2 * (sketch @ sketch[newest]) + squares[newest], out=nearest)
        chosen.append(int(nearest.argmax()))
    return pool[chosen]

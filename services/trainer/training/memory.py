"""Fit a memory of good images, and measure how far images are from it (after PatchCore, Roth et al. 2022).

Patches of good images, described by frozen features, become a memory. An image is as unusual as its patch that is
farthest from anything in memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

import cv2
import keras
import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

from services.trainer.architectures.lite0_patches import Memory, Usual, with_memory
from services.trainer.datasets.pixels import PixelStore, Rows
from services.trainer.evaluation.threshold_choice import good_bound
from services.trainer.heatmaps.pasted import paste_defect
from services.trainer.training.listener import TrainingListener
from shared.contracts.bundle import DISTANCES
from shared.contracts.training import TrainingOptions
from shared.engines.compile import compile_for_openvino
from shared.engines.openvino import OpenVinoEngine
from shared.engines.port import Images
from shared.explain.network import by_tensorflow
from shared.imaging.preprocessing import normalise

POOL: Final = 60_000
"""Patches, at most, of which the memory is chosen; each good image gives the same number."""
PATCHES: Final = 2_000
"""Patches in memory, at most."""
PATCHES_BESIDE_LABELS: Final = 500
"""Patches in the memory of a network with labels: its time grows with them."""
DIRECTIONS: Final = 128
"""Numbers that describe a patch, at most."""
BLURRED: Final = 2.0
"""Deviation of the Gaussian, in places, over which the usual distances are averaged."""
EVENED: Final = 10
"""Images for which the mean variance of all places counts."""
MOST_PASTED: Final = 100
"""Good images on which a defect is pasted, to see whether it is found."""
BATCH: Final = 16
"""Images whose patches are in memory at once."""
SKETCH: Final = 32
"""Random directions in which the memory is chosen (Johnson and Lindenstrauss 1984)."""
SMALLEST_DEVIATION: Final = 1e-6
SMALLEST_SHARE: Final = 0.01
"""Least deviation of a feature, as a share of the mean: a feature that hardly varies among good images varies by the
rounding of the processor, which a division would make as large as what is seen."""
EVEN_OUT: Final = 0.01
"""Added to the variance of each direction, as a share of the mean: weaker directions are noise."""

Patches = NDArray[np.float32]
"""(patches, features or directions)"""


@dataclass(frozen=True)
class FittedMemory:
    """A memory of good images, and the logits that images get from a memory without their fold."""

    memory: Memory
    usual: Usual
    out_of_fold: NDArray[np.float32]
    """(images,)"""
    pasted: NDArray[np.float32]
    """(pasted,), of good images with a pasted defect."""
    pasted_on: NDArray[np.int64]
    """(pasted,), the index of the good image of each among the images."""


def fit_memory(
    patches: keras.Model,
    store: PixelStore,
    rows: Rows,
    good: NDArray[np.bool_],
    fold_of: NDArray[np.int64],
    *,
    options: TrainingOptions,
    listener: TrainingListener,
    most: int = PATCHES,
) -> FittedMemory:
    """Fit a memory to good images, and measure all images out of fold.

    Images of parts that are not good are never learned from. They are measured by the memory without the good images of
    their own groups, as the good images are.

    Args:
        patches: from images to their patches.
        store: the images.
        rows: the rows of ``store`` to use.
        good: (rows,), which images show a good part.
        fold_of: (rows,), the fold of each image; no group is in two folds.
        options: the overkill that is allowed, and the seed.
        listener: receives the progress.
        most: patches in memory.
    """
    rng, pasting = np.random.default_rng(options.seed), np.random.default_rng(options.seed)
    listener.on_stage(f"collecting patches of {int(good.sum())} good images")
    reader = PatchReader(patches, store)
    pool, pool_rows = reader.pool(rows[good], rng)
    fold_of_row = dict(zip(rows.tolist(), fold_of.tolist(), strict=True))
    pool_folds = np.array([fold_of_row[row] for row in pool_rows.tolist()])
    nearest = np.empty((len(rows), *patches.output_shape[1:3]), np.float32)
    chosen = np.sort(pasting.permutation(np.flatnonzero(good))[:MOST_PASTED])
    pasted_nearest = np.empty((len(chosen), *patches.output_shape[1:3]), np.float32)
    for fold in np.unique(fold_of):
        held_out, pasted = fold_of == fold, fold_of[chosen] == fold
        listener.on_stage(f"comparing {int(held_out.sum())} images with good images of other groups, fold {fold + 1}")
        memory = memory_of(pool[pool_folds != fold], rng, most)
        nearest[held_out] = reader.distances(reader.prepared(rows[held_out]), memory)
        if pasted.any():
            images = pasted_images(store, rows[chosen[pasted]], pasting)
            pasted_nearest[pasted] = reader.distances([images], memory)
    listener.on_stage("choosing the memory of all good images")
    memory = memory_of(pool, rng, most)
    largest, pasted_largest = np.empty(len(rows), np.float32), np.empty(len(chosen), np.float32)
    for fold in np.unique(fold_of):
        held_out, pasted = fold_of == fold, fold_of[chosen] == fold
        usual = usual_of(nearest[good & ~held_out])
        largest[held_out] = largest_of(nearest[held_out], usual)
        pasted_largest[pasted] = largest_of(pasted_nearest[pasted], usual)
    deviation = max(float(largest[good].std()), SMALLEST_DEVIATION)
    bound = good_bound(largest[good], options.overkill)
    usual = replace(usual_of(nearest[good]), kernel=1 / deviation, bias=-bound / deviation)
    out_of_fold, pasted_logits = (np.asarray((each - bound) / deviation) for each in (largest, pasted_largest))
    return FittedMemory(memory, usual, out_of_fold, pasted_logits, chosen)


def pasted_images(store: PixelStore, rows: Rows, rng: np.random.Generator) -> Images:
    """Return images as the network takes them, each with a piece of another one pasted on it."""
    pasted = [paste_defect(store.pixels[row], store.pixels[rng.integers(len(store.pixels))], rng)[0] for row in rows]
    return np.stack([normalise(pixels, store.image) for pixels in pasted])


class PatchReader:
    """Computes the patches of images, by the engine that will run the network on the line."""

    def __init__(self, patches: keras.Model, store: PixelStore) -> None:
        compiled = compile_for_openvino(patches, "patches")
        self._engine = OpenVinoEngine(compiled.xml, compiled.weights)
        self._store = store
        self._shape = patches.output_shape[1:]

    def prepared(self, rows: Rows) -> Iterator[Images]:
        """Yield images as the network takes them, batch by batch."""
        for start in range(0, len(rows), BATCH):
            yield self._store.prepared(rows[start : start + BATCH])

    def pool(self, rows: Rows, rng: np.random.Generator) -> tuple[Patches, Rows]:
        """Return random patches of images, the same number of each, and the row of each patch."""
        height, width, features = self._shape
        count = min(height * width, max(1, POOL // len(rows)))
        found = [
            image.reshape(-1, features)[rng.permutation(height * width)[:count]]
            for batch in self.prepared(rows)
            for image in self._engine.answer(batch)
        ]
        return np.concatenate(found), np.repeat(rows, count)

    def distances(self, batches: Iterable[Images], memory: Memory) -> NDArray[np.float32]:
        """Return the map of the distances of each image to a memory: (images, rows, columns)."""
        inputs, places = keras.Input(self._shape), self._shape[:2]
        raw = Usual(np.zeros(places, np.float32), np.ones(places, np.float32))
        network = with_memory(keras.Model(inputs, keras.layers.Identity()(inputs)), memory, raw)
        look = by_tensorflow(keras.Model(network.input, network.get_layer(DISTANCES).output))
        return np.concatenate([np.asarray(look(self._engine.answer(batch)), np.float32)[..., 0] for batch in batches])


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


def memory_of(pool: Patches, rng: np.random.Generator, most: int = PATCHES) -> Memory:
    """Return a memory of good patches, which are given by their features."""
    kernel, bias = directions_of(pool)
    return Memory(kernel, bias, coreset(pool @ kernel + bias, rng, most))


def directions_of(pool: Patches) -> tuple[Patches, NDArray[np.float32]]:
    """Return kernel and bias that make the main directions of some patches, each with about the same variance.

    A distance then counts a difference in proportion to how rare it is among good patches, as Mahalanobis's does.
    """
    mean, deviation = pool.mean(axis=0), pool.std(axis=0)
    deviation = np.maximum(deviation, max(SMALLEST_SHARE * float(deviation.mean()), SMALLEST_DEVIATION))
    scaled = (pool - mean) / deviation
    features = scaled.shape[1]
    count = min(DIRECTIONS, features)
    variances, directions = eigh(
        (scaled.T @ scaled).astype(np.float64) / len(scaled), subset_by_index=[features - count, features - 1]
    )
    kernel = directions / np.sqrt(np.maximum(variances, 0) + EVEN_OUT * variances.mean()) / deviation[:, np.newaxis]
    return np.asarray(kernel, np.float32), np.asarray(-mean @ kernel, np.float32)


def coreset(pool: Patches, rng: np.random.Generator, most: int = PATCHES) -> Patches:
    """Return patches of which each other one is near: from a random one on, always the one farthest from all chosen.

    Distances are measured in random directions, which preserve them well enough (Roth et al. 2022, section 3.2).
    """
    if len(pool) <= most:
        return pool
    sketch = np.asarray(pool @ rng.normal(size=(pool.shape[1], SKETCH)), np.float32)
    squares = np.square(sketch).sum(axis=1)
    chosen = [int(rng.integers(len(pool)))]
    nearest = np.full(len(pool), np.inf, np.float32)
    while len(chosen) < most:
        newest = chosen[-1]
        np.minimum(nearest, squares - 2 * (sketch @ sketch[newest]) + squares[newest], out=nearest)
        chosen.append(int(nearest.argmax()))
    return pool[chosen]

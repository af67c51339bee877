"""Choose the method and the layer of a network's heatmaps by how well they point at known defects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import keras
import numpy as np
from numpy.typing import NDArray

from services.trainer.datasets.pixels import PixelStore, Rows
from services.trainer.evaluation.costs import is_ng
from services.trainer.heatmaps.options import HeatmapOption, MapComputer, heatmap_options
from services.trainer.heatmaps.pasted import paste_defect
from shared.contracts.bundle import DISTANCE, DISTANCES, ChosenBy, HeatmapSpec
from shared.explain.distance import measures_distances
from shared.explain.masks import MarkedImage, Mask, read_mask
from shared.explain.metrics import FEWEST_MARKED_IMAGES, point
from shared.explain.network import target_layer_of
from shared.explain.rendering import heat_of
from shared.explain.targets import fault_questions
from shared.imaging.codec import as_jpeg_or_png, decode
from shared.imaging.preprocessing import normalise, prepare
from shared.imaging.references import References
from shared.recipe import Recipe
from shared.verdict import points_at_presence

MOST_DEFECTS: Final = 64
"""Defects by which the options are compared."""
PASTES_PER_IMAGE: Final = 2
"""Defects that are pasted on a good image; only the one that changes the logits most is used."""
BATCH_SIZE: Final = 16


@dataclass(frozen=True)
class Defect:
    """An image with a defect whose region is known."""

    image: NDArray[np.float32]
    """(height, width, channels), the input of the network."""
    mask: Mask
    """The region of the defect, in any size; the heatmap is resized to it."""
    output: int
    """The position among the network's outputs of the label that the defect decides."""
    for_label: bool
    """Whether the heatmap shows the evidence for the label (True) or against it."""


@dataclass(frozen=True)
class Choice:
    """How heatmaps are computed, and how well each option points at known defects."""

    spec: HeatmapSpec
    tried: dict[HeatmapOption, float]
    """Share of the defects at which each option points, as the mean over the labels."""
    defect_count: int


def choose_heatmaps(
    network: keras.Model, recipe: Recipe, store: PixelStore, rows: Rows, marked: Sequence[MarkedImage]
) -> Choice:
    """Return the option whose heatmaps point best at known defects.

    The known defects are those of masks, or, if too few images have a mask, defects that are pasted on good images.

    Args:
        network: the trained network.
        recipe: the network's recipe.
        store: the images.
        rows: the rows of the images by which the options are compared.
        marked: those of these images that have masks.

    Raises:
        BundleError: the network has no layer for heatmaps.
        UnreadableImage: an image or a mask can't be read.
    """
    if measures_distances(network):
        return Choice(HeatmapSpec(method=DISTANCE, layers=(DISTANCES,)), {}, 0)
    options, last = heatmap_options(network, recipe), target_layer_of(network, recipe)
    default = next(option for option in options if option.layers == (last,))
    if len(options) == 1:
        by = ChosenBy.RECIPE if recipe.explanation.layer else ChosenBy.DEFAULT
        return Choice(HeatmapSpec(**default._asdict(), chosen_by=by), {}, 0)
    computer = MapComputer(network, options)
    defects, by = marked_defects(recipe, marked, store.references), ChosenBy.MASKS
    if len(defects) < FEWEST_MARKED_IMAGES:
        defects, by = pasted_defects(computer, recipe, store, rows), ChosenBy.PASTED
    if len(defects) < FEWEST_MARKED_IMAGES:
        return Choice(HeatmapSpec(**default._asdict()), {}, 0)
    pointing = pointing_of(computer, defects)
    best = options[best_of(pointing)]
    tried = dict(zip(options, pointing.mean(axis=1).tolist(), strict=True))
    return Choice(HeatmapSpec(**best._asdict(), chosen_by=by), tried, len(defects))


def marked_defects(recipe: Recipe, marked: Sequence[MarkedImage], references: References | None = None) -> list[Defect]:
    """Return defects with masks: the same number of each label, or all that a label has."""
    rng = np.random.default_rng(0)
    defects = []
    for output, label in enumerate(recipe.labels):
        images = [image for image in marked if label.name in image.masks]
        for_label = points_at_presence(label, recipe)
        for number in rng.permutation(len(images))[: max(1, MOST_DEFECTS // len(recipe.labels))]:
            image = images[number]
            pixels = prepare(decode(as_jpeg_or_png(image.path.read_bytes())), recipe.image, references)
            defects.append(Defect(pixels, read_mask(image.masks[label.name]), output, for_label))
    return defects


def pasted_defects(computer: MapComputer, recipe: Recipe, store: PixelStore, rows: Rows) -> list[Defect]:
    """Return good images with pasted defects that the network takes for a fault.

    Only the half that changes a logit most is returned, because a network has no map of a defect that it does not see.
    """
    faults = fault_questions(recipe)
    good = rows[~is_ng(recipe, store.labels[rows])]
    if not faults or not len(good):
        return []
    rng = np.random.default_rng(0)
    outputs, signs = [fault.output for fault in faults], [1 if fault.for_label else -1 for fault in faults]
    changes: list[tuple[float, Defect]] = []
    for row in rng.permutation(good)[: 3 * MOST_DEFECTS // 2]:
        plain, reference = np.split(store.pixels[row], [store.image.channels], axis=2)
        sources = [store.pixels[rng.choice(rows)][..., : store.image.channels] for _ in range(PASTES_PER_IMAGE)]
        pasted = [paste_defect(plain, source, rng) for source in sources]
        inputs = [np.concatenate([image, reference], axis=2) for image in (plain, *(image for image, _ in pasted))]
        images = np.stack([normalise(pixels, store.image) for pixels in inputs])
        evidence = computer.logits(images)[:, outputs] * signs
        change = evidence[1:] - evidence[0]
        paste, number = np.unravel_index(int(change.argmax()), change.shape)
        fault, mask = faults[number], pasted[paste][1]
        defect = Defect(images[paste + 1], mask, fault.output, fault.for_label)
        changes.append((float(change[paste, number]), defect))
    changes.sort(key=lambda change_and_defect: -change_and_defect[0])
    return [defect for change, defect in changes[: (len(changes) + 1) // 2] if change > 0]


def pointing_of(computer: MapComputer, defects: Sequence[Defect]) -> NDArray[np.float64]:
    """Return whether the peak of each map is on the defect, weighted so that each label weighs the same.

    Returns:
        (options, defects): 0 for a miss, and the weight of the defect for a hit. The mean of a row is the option's
        share of hits, as the mean over the labels.
    """
    hits = []
    for start in range(0, len(defects), BATCH_SIZE):
        batch = defects[start : start + BATCH_SIZE]
        targets = [(defect.output, defect.for_label) for defect in batch]
        maps_by_option = computer.maps(np.stack([defect.image for defect in batch]), targets)
        for row, defect in enumerate(batch):
            heats = [heat_of(maps[row], *defect.mask.shape) for maps in maps_by_option]
            hits.append([point(heat, defect.mask).hit for heat in heats])
    _, label_of, counts = np.unique([defect.output for defect in defects], return_inverse=True, return_counts=True)
    weights = len(defects) / (len(counts) * counts[label_of])
    return np.asarray(np.transpose(hits) * weights)


def best_of(pointing: NDArray[np.float64]) -> int:
    """Return the index of the best option: the first, unless another points better by more than a standard error."""
    best = int(pointing.mean(axis=1).argmax())
    lead = pointing[best] - pointing[0]
    return best if lead.mean() > lead.std() / np.sqrt(len(lead)) else 0

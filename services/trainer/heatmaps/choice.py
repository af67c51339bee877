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
from services.trainer.heatmaps.candidates import AllMaps, Candidate, candidates_of
from services.trainer.heatmaps.pasted import paste_defect
from shared.contracts.bundle import DISTANCE, ChosenBy, HeatmapSpec
from shared.explain.distance import DISTANCES, measures_distances
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

MOST: Final = 64
"""Defects that decide."""
TRIES: Final = 2
"""Defects that are pasted for each one that decides: the one that changes the logits most."""
BATCH: Final = 16


@dataclass(frozen=True)
class Defect:
    """A defect whose place is known."""

    image: NDArray[np.float32]
    """(height, width, channels), the input of the network."""
    mask: Mask
    """Of any size."""
    output: int
    """The position among the network's outputs of the label that the defect decides."""
    for_label: bool


@dataclass(frozen=True)
class Choice:
    """How heatmaps are computed, and what decided."""

    spec: HeatmapSpec
    tried: dict[Candidate, float]
    """Share of the defects that each way pointed at, as the mean of the labels."""
    defects: int


def choose_heatmaps(
    network: keras.Model, recipe: Recipe, store: PixelStore, rows: Rows, marked: Sequence[MarkedImage]
) -> Choice:
    """Return the way of computing heatmaps that points best at known defects.

    Marked defects decide; where too few images have a mask, defects that are pasted on good images.

    Args:
        network: the trained network.
        recipe: of the network.
        store: the images.
        rows: of the images that decide.
        marked: those of them that have masks.

    Raises:
        BundleError: the network has no layer for heatmaps.
        UnreadableImage: an image or a mask can't be read.
    """
    if measures_distances(network):
        return Choice(HeatmapSpec(method=DISTANCE, layers=(DISTANCES,)), {}, 0)
    candidates, last = candidates_of(network, recipe), target_layer_of(network, recipe)
    default = next(candidate for candidate in candidates if candidate.layers == (last,))
    if len(candidates) == 1:
        by = ChosenBy.RECIPE if recipe.explanation.layer else ChosenBy.DEFAULT
        return Choice(HeatmapSpec(**default._asdict(), chosen_by=by), {}, 0)
    every_map = AllMaps(network, candidates)
    defects, by = marked_defects(recipe, marked, store.references), ChosenBy.MASKS
    if len(defects) < FEWEST_MARKED_IMAGES:
        defects, by = pasted_defects(every_map, recipe, store, rows), ChosenBy.PASTED
    if len(defects) < FEWEST_MARKED_IMAGES:
        return Choice(HeatmapSpec(**default._asdict()), {}, 0)
    pointing = pointing_of(every_map, defects)
    best = candidates[best_of(pointing)]
    tried = dict(zip(candidates, pointing.mean(axis=1).tolist(), strict=True))
    return Choice(HeatmapSpec(**best._asdict(), chosen_by=by), tried, len(defects))


def marked_defects(recipe: Recipe, marked: Sequence[MarkedImage], references: References | None = None) -> list[Defect]:
    """Return marked defects of the images: of each label the same number, or all that it has."""
    rng = np.random.default_rng(0)
    defects = []
    for output, label in enumerate(recipe.labels):
        of_label = [image for image in marked if label.name in image.masks]
        for number in rng.permutation(len(of_label))[: max(1, MOST // len(recipe.labels))]:
            image, for_label = of_label[number], points_at_presence(label, recipe)
            pixels = prepare(decode(as_jpeg_or_png(image.path.read_bytes())), recipe.image, references)
            defects.append(Defect(pixels, read_mask(image.masks[label.name]), output, for_label))
    return defects


def pasted_defects(every_map: AllMaps, recipe: Recipe, store: PixelStore, rows: Rows) -> list[Defect]:
    """Return good images with pasted defects that the network takes for a fault.

    The half of them that changes a logit most is returned: a network shows nothing of a defect that it does not see.
    """
    faults = fault_questions(recipe)
    good = rows[~is_ng(recipe, store.labels[rows])]
    if not faults or not len(good):
        return []
    rng = np.random.default_rng(0)
    outputs, signs = [each.output for each in faults], [1 if each.for_label else -1 for each in faults]
    found: list[tuple[float, Defect]] = []
    for row in rng.permutation(good)[: 3 * MOST // 2]:
        plain, reference = np.split(store.pixels[row], [store.image.channels], axis=2)
        sources = [store.pixels[rng.choice(rows)][..., : store.image.channels] for _ in range(TRIES)]
        pasted = [paste_defect(plain, source, rng) for source in sources]
        beside = [np.concatenate([each, reference], axis=2) for each in (plain, *(image for image, _ in pasted))]
        images = np.stack([normalise(each, store.image) for each in beside])
        evidence = every_map.logits(images)[:, outputs] * signs
        change = evidence[1:] - evidence[0]
        best, number = np.unravel_index(int(change.argmax()), change.shape)
        fault, mask = faults[number], pasted[best][1]
        found.append((float(change[best, number]), Defect(images[best + 1], mask, fault.output, fault.for_label)))
    found.sort(key=lambda each: -each[0])
    return [defect for change, defect in found[: (len(found) + 1) // 2] if change > 0]


def pointing_of(every_map: AllMaps, defects: Sequence[Defect]) -> NDArray[np.float64]:
    """Return whether the peak of each map is on the defect, with each label weighing the same.

    Returns:
        (candidates, defects), with a mean of the candidate's share of hits, as the mean of the labels.
    """
    hits = []
    for begin in range(0, len(defects), BATCH):
        batch = defects[begin : begin + BATCH]
        maps = every_map.maps(
            np.stack([each.image for each in batch]), [(each.output, each.for_label) for each in batch]
        )
        for row, defect in enumerate(batch):
            hits.append([point(heat_of(each[row], *defect.mask.shape), defect.mask).hit for each in maps])
    _, label_of, counts = np.unique([defect.output for defect in defects], return_inverse=True, return_counts=True)
    weights = len(defects) / (len(counts) * counts[label_of])
    return np.asarray(np.transpose(hits) * weights)


def best_of(pointing: NDArray[np.float64]) -> int:
    """Return the candidate to take: the first one, unless another points better by more than a standard error."""
    best = int(pointing.mean(axis=1).argmax())
    lead = pointing[best] - pointing[0]
    return best if lead.mean() > lead.std() / np.sqrt(len(lead)) else 0

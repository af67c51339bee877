"""Read the images of a folder that have masks, with the tables of labels and groups beside them."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from shared.contracts.bundle import Bundle
from shared.datasets.reading import read_for_recipe
from shared.engines.bundled_references import references_of
from shared.explain.masks import MarkedImage, masks_of
from shared.messages import Verdict
from shared.recipe import Recipe
from shared.verdict import judge

LEARNED_TABLES: Final = ("train.csv", "valid.csv")
"""The files of a bundle that list the images on which its network was trained or validated."""
TABLES: Final = (*LEARNED_TABLES, "test.csv")
"""The files of a bundle that list all images of its dataset, which set the scale of its heatmaps."""


class MarkedFolderError(ValueError):
    """A folder can't be used to measure heatmaps; the message says what it lacks."""


def marked_images(folder: Path, recipe: Recipe, excluded: Collection[str] = ()) -> list[MarkedImage]:
    """Return the images of a folder that have a mask of one of the recipe's labels.

    Args:
        folder: labelled images with masks, of any kind that a training reads.
        recipe: the recipe of the model.
        excluded: names of images to leave out.

    Raises:
        DatasetError: the folder can't be read.
        MarkedFolderError: no image has a mask.
    """
    marked = []
    for example in read_for_recipe(folder, recipe).examples:
        given = recipe.without_anomaly.label_names
        true = {name for name, value in zip(given, example.labels, strict=True) if value}
        masks = masks_of(dict(example.masks), example.name, true, recipe)
        if masks and example.name not in excluded:
            marked.append(MarkedImage(example.image, example.group, masks))
    if not marked:
        raise MarkedFolderError(
            f"{folder}: no image that the model was not trained on has a mask of a label of {recipe.name}: put "
            "masks_by_label/<image>_<label>.png or masks/<image>.png there, white where the defect is"
        )
    return marked


def good_images(folder: Path, recipe: Recipe, excluded: Collection[str] = ()) -> list[MarkedImage]:
    """Return the images of good parts, which have no masks; the arguments are those of `marked_images`.

    Raises:
        DatasetError: the folder can't be read.
    """
    return [
        MarkedImage(example.image, example.group, {})
        for example in read_for_recipe(folder, recipe).examples
        if example.name not in excluded
        and judge(recipe.without_anomaly, [*map(float, example.labels)]).verdict is Verdict.OK
    ]


def random_sample(marked: Sequence[MarkedImage], most: int | None, seed: int) -> list[MarkedImage]:
    """Return at most ``most`` images, the same ones for the same seed; all of them for None."""
    if most is None or len(marked) <= most:
        return list(marked)
    rows = np.random.default_rng(seed).permutation(len(marked))[:most]
    return [marked[row] for row in sorted(rows)]


def training_images(bundle: Bundle) -> frozenset[str]:
    """Return the names of the images that a model was trained or validated on, and of its reference images."""
    return _names(bundle, LEARNED_TABLES)


def known_images(bundle: Bundle) -> frozenset[str]:
    """Return the names of all images of a model, which set the scale of its heatmaps."""
    return _names(bundle, TABLES)


def _names(bundle: Bundle, tables: Sequence[str]) -> frozenset[str]:
    contents = (bundle.files.get(table, b"").decode() for table in tables)
    listed = (row.get("name", "") for content in contents for row in csv.DictReader(io.StringIO(content)))
    references = references_of(bundle)
    return frozenset(listed).union(references.names if references else ())

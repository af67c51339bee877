"""Read the images of a folder that have masks, with the tables of labels and groups beside them."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from shared.contracts.bundle import Bundle
from shared.explain.masks import MarkedImage, mask_files, masks_of
from shared.recipe import Recipe

LABELS: Final = "labels.csv"
GROUPS: Final = "groups.csv"
TRAINING_TABLE: Final = "train.csv"
"""The file of a bundle that lists the images of its training split."""
TRUE: Final = frozenset({"true", "1"})


class MarkedFolderError(ValueError):
    """A folder can't be used to measure heatmaps; the message says what it lacks."""


def marked_images(folder: Path, recipe: Recipe, excluded: Collection[str] = ()) -> list[MarkedImage]:
    """Return the images of a folder that have a mask of one of the recipe's labels.

    Args:
        folder: with images/, labels.csv, perhaps groups.csv, and masks/ or masks_by_label/.
        recipe: of the model.
        excluded: names of images to leave out.

    Raises:
        MarkedFolderError: a table is missing, a label is missing from it, or no image has a mask.
    """
    rows = _rows(folder / LABELS)
    missing = [name for name in ("name", *recipe.label_names) if name not in rows[0]]
    if missing:
        raise MarkedFolderError(f"{folder / LABELS} has no column {', '.join(missing)}, which the recipe needs")
    groups = {row["name"]: row["group"] for row in _rows(folder / GROUPS)} if (folder / GROUPS).is_file() else {}
    marked = [
        MarkedImage(folder / "images" / row["name"], groups.get(row["name"], row["name"]), masks)
        for row in rows
        if row["name"] not in excluded and (masks := _masks_of(folder, row, recipe))
    ]
    if not marked:
        raise MarkedFolderError(
            f"{folder}: no image that the model was not trained on has a mask of a label of {recipe.name}: put "
            "masks_by_label/<image>_<label>.png or masks/<image>.png there, white where the defect is"
        )
    return marked


def random_sample(marked: Sequence[MarkedImage], most: int | None, seed: int) -> list[MarkedImage]:
    """Return at most ``most`` images, the same ones for the same seed; all of them for None."""
    if most is None or len(marked) <= most:
        return list(marked)
    rows = np.random.default_rng(seed).permutation(len(marked))[:most]
    return [marked[row] for row in sorted(rows)]


def training_images(bundle: Bundle) -> frozenset[str]:
    """Return the names of the images that a model was trained on, as far as its bundle lists them."""
    table = bundle.files.get(TRAINING_TABLE, b"").decode()
    return frozenset(row.get("name", "") for row in csv.DictReader(io.StringIO(table)))


def _masks_of(folder: Path, row: dict[str, str], recipe: Recipe) -> dict[str, Path]:
    true = {label for label in recipe.label_names if row[label].strip().lower() in TRUE}
    return masks_of(dict(mask_files(folder, row["name"], recipe.label_names)), row["name"], true, recipe)


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as table:
            rows = list(csv.DictReader(table))
    except (OSError, UnicodeDecodeError) as error:
        raise MarkedFolderError(f"{path} can't be read: {error}") from error
    if not rows or any(None in row or None in row.values() for row in rows):
        raise MarkedFolderError(f"{path}: a table has a header, and as many cells in each line")
    return rows

"""The marked images of a folder: its tables of labels and groups, and the masks beside them."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from shared.contracts.bundle import Bundle
from shared.explain.masks import MarkedImage, masks_of
from shared.recipe import Recipe

LABELS: Final = "labels.csv"
GROUPS: Final = "groups.csv"
LEARNED: Final = "train.csv"
"""Of a bundle: what its model was trained on."""
TRUE: Final = frozenset({"true", "1"})


class MarkedFolderError(ValueError):
    """A folder that heatmaps can't be held to; the message says what it lacks."""


def marked_images(folder: Path, recipe: Recipe, passed_over: Collection[str] = ()) -> list[MarkedImage]:
    """The images of a folder that have a mask of one of the recipe's labels.

    Args:
        folder: with images/, labels.csv, perhaps groups.csv, and masks/ or masks_by_label/.
        recipe: of the model.
        passed_over: names of images to leave out.

    Raises:
        MarkedFolderError: there is no table, it lacks a label, or no image is marked.
    """
    rows = _rows(folder / LABELS)
    missing = [name for name in ("name", *recipe.label_names) if name not in rows[0]]
    if missing:
        raise MarkedFolderError(f"{folder / LABELS} has no column {', '.join(missing)}, which the recipe asks for")
    groups = {row["name"]: row["group"] for row in _rows(folder / GROUPS)} if (folder / GROUPS).is_file() else {}
    marked = [
        MarkedImage(folder / "images" / row["name"], groups.get(row["name"], row["name"]), masks)
        for row in rows
        if row["name"] not in passed_over
        and (masks := masks_of(folder, row["name"], _true_labels(row, recipe), recipe))
    ]
    if not marked:
        raise MarkedFolderError(
            f"{folder}: no image that the model was not trained on has a mask of a label of {recipe.name}: put "
            "masks_by_label/<image>_<label>.png or masks/<image>.png there, white where the defect is"
        )
    return marked


def drawn_by_lot(marked: Sequence[MarkedImage], most: int | None, seed: int) -> list[MarkedImage]:
    """At most so many of them, alike for one seed; None for all."""
    if most is None or len(marked) <= most:
        return list(marked)
    rows = np.random.default_rng(seed).permutation(len(marked))[:most]
    return [marked[row] for row in sorted(rows)]


def learned_from(bundle: Bundle) -> frozenset[str]:
    """The names of the images that a model was trained on, as far as its bundle lists them."""
    table = bundle.files.get(LEARNED, b"").decode()
    return frozenset(row.get("name", "") for row in csv.DictReader(io.StringIO(table)))


def _true_labels(row: dict[str, str], recipe: Recipe) -> set[str]:
    return {label for label in recipe.label_names if row[label].strip().lower() in TRUE}


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as table:
            rows = list(csv.DictReader(table))
    except (OSError, UnicodeDecodeError) as error:
        raise MarkedFolderError(f"{path} can't be read: {error}") from error
    if not rows or any(None in row or None in row.values() for row in rows):
        raise MarkedFolderError(f"{path}: a table has a header, and as many cells in each line")
    return rows

"""Masks of defects in labelled images: the ground truth for heatmaps. `shared.datasets.mask_files` has their files."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shared.datasets.mask_files import mask_name
from shared.imaging.codec import as_jpeg_or_png, decode
from shared.recipe import LabelRole, Recipe
from shared.verdict import points_at_presence

Mask = NDArray[np.bool_]
"""(height, width) of the image."""


@dataclass(frozen=True)
class MarkedImage:
    """An image with the masks of its labels."""

    path: Path
    group: str
    masks: dict[str, Path]
    """The masks by label: the region of a defect or an attribute; for a missing quality, the regions of all defects."""


def masks_of(files: Mapping[str, Path], name: str, true: Collection[str], recipe: Recipe) -> dict[str, Path]:
    """Return the masks of one image, by label.

    A mask of all defects is that of one label only where the image has no second defect. For a quality that is missing
    it is the truth where heatmaps show what speaks against the label; those of exclusive labels show what speaks for.

    Args:
        files: the masks of the image, by their names: see `shared.datasets.mask_files.MaskFiles`.
        name: the name of the image in its table.
        true: the labels that the image has.
        recipe: says which labels are defects.
    """
    together = files.get(mask_name(name))
    defects = [label for label in recipe.labels if label.role is LabelRole.DEFECT and label.name in true]
    found: dict[str, Path] = {}
    for label in recipe.labels:
        own = files.get(mask_name(name, label.name))
        if label.role is LabelRole.QUALITY:
            if together and label.name not in true and not points_at_presence(label, recipe):
                found[label.name] = together
        elif own and label.name in true:
            found[label.name] = own
        elif together and defects == [label]:
            found[label.name] = together
    return found


def read_mask(path: Path) -> Mask:
    """Read a mask.

    Raises:
        UnreadableImage: it is not an image.
    """
    return np.asarray(decode(as_jpeg_or_png(path.read_bytes()))[..., 0] > 127)

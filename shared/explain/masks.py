"""Masks of defects in labelled images: the ground truth for heatmaps.

Beside ``images/`` a folder may have ``masks_by_label/<image>_<label>.png``, one mask for each label, and
``masks/<image>.png``, one mask of all defects of the image. Masks are 0 or 255 and have the size of the image.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

import numpy as np
from numpy.typing import NDArray

from shared.explain.targets import points_at_presence
from shared.imaging.codec import decode
from shared.recipe import LabelRole, Recipe

BY_LABEL: Final = "masks_by_label"
TOGETHER: Final = "masks"
Mask = NDArray[np.bool_]
"""(height, width) of the image."""


@dataclass(frozen=True)
class MarkedImage:
    """An image with the masks of its labels."""

    path: Path
    group: str
    masks: dict[str, Path]
    """By label: the region of a defect or attribute; for a missing quality, all defects."""


def masks_of(files: Mapping[str, Path], name: str, true: Collection[str], recipe: Recipe) -> dict[str, Path]:
    """Return the masks of one image, by label.

    A mask of all defects is that of one label only where the image has no second defect. For a quality that is missing
    it is the truth where heatmaps show what speaks against the label; those of exclusive labels show what speaks for.

    Args:
        files: the masks of the image, by their names below the dataset's folder: see `mask_files`.
        name: the name of the image in its table.
        true: the labels that the image has.
        recipe: says which labels are defects.
    """
    image = PurePosixPath(name)
    together = files.get(str(PurePosixPath(TOGETHER) / image.with_suffix(".png")))
    defects = [label for label in recipe.labels if label.role is LabelRole.DEFECT and label.name in true]
    found: dict[str, Path] = {}
    for label in recipe.labels:
        own = files.get(str(PurePosixPath(BY_LABEL) / image.with_name(f"{image.stem}_{label.name}.png")))
        if label.role is LabelRole.QUALITY:
            if together and label.name not in true and not points_at_presence(label, recipe):
                found[label.name] = together
        elif own and label.name in true:
            found[label.name] = own
        elif together and defects == [label]:
            found[label.name] = together
    return found


def mask_files(folder: Path, name: str, labels: Collection[str]) -> Iterator[tuple[str, Path]]:
    """Yield the existing mask files of an image: the name below the folder, and the path.

    Args:
        folder: of the dataset.
        name: of the image in its table.
        labels: all labels.
    """
    image = PurePosixPath(name)
    names = [
        PurePosixPath(TOGETHER) / image.with_suffix(".png"),
        *(PurePosixPath(BY_LABEL) / image.with_name(f"{image.stem}_{each}.png") for each in labels if "/" not in each),
    ]
    return ((str(each), folder / each) for each in names if (folder / each).is_file())


def read_mask(path: Path) -> Mask:
    """Read a mask.

    Raises:
        UnreadableImage: it is not an image.
    """
    return np.asarray(decode(path.read_bytes())[..., 0] > 127)

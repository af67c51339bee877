"""Where things are in labelled images, as somebody marked it: the truth that heatmaps are held to.

Beside ``images/`` a folder may have ``masks_by_label/<image>_<label>.png``, one mask per label, and
``masks/<image>.png``, everything that is wrong with the image in one; 0 or 255, of the image's size.
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
from shared.recipe import Recipe, Role

BY_LABEL: Final = "masks_by_label"
TOGETHER: Final = "masks"
Mask = NDArray[np.bool_]
"""(height, width) of the image."""


@dataclass(frozen=True)
class MarkedImage:
    """An image, and where in it is what its labels say."""

    path: Path
    group: str
    masks: dict[str, Path]
    """By label: of a defect or attribute, what shows it; of a quality that is missing, all that is wrong."""


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
    defects = [label for label in recipe.labels if label.role is Role.DEFECT and label.name in true]
    found: dict[str, Path] = {}
    for label in recipe.labels:
        own = files.get(str(PurePosixPath(BY_LABEL) / image.with_name(f"{image.stem}_{label.name}.png")))
        if label.role is Role.QUALITY:
            if together and label.name not in true and not points_at_presence(label, recipe):
                found[label.name] = together
        elif own and label.name in true:
            found[label.name] = own
        elif together and defects == [label]:
            found[label.name] = together
    return found


def mask_files(folder: Path, name: str, labels: Collection[str]) -> Iterator[tuple[str, Path]]:
    """The files that mark an image, whatever its labels are: each by its name below the folder.

    Args:
        folder: of the data set.
        name: of the image, as its table has it.
        labels: all that there are.
    """
    image = PurePosixPath(name)
    names = [
        PurePosixPath(TOGETHER) / image.with_suffix(".png"),
        *(PurePosixPath(BY_LABEL) / image.with_name(f"{image.stem}_{each}.png") for each in labels if "/" not in each),
    ]
    return ((str(each), folder / each) for each in names if (folder / each).is_file())


def read_mask(path: Path) -> Mask:
    """A mask.

    Raises:
        UnreadableImage: it is no image.
    """
    return np.asarray(decode(path.read_bytes())[..., 0] > 127)

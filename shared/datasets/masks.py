"""The files of the masks of labelled images.

Beside ``images/`` a folder may have ``masks_by_label/<image>_<label>.png``, one mask for each label, and
``masks/<image>.png``, one mask of all defects of the image. Masks are 0 or 255 and have the size of the image. The file
has the slug of the label (`shared.label_names.label_slug`); a person may write the label's name instead, where a file
can have it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath
from typing import Final, Literal
from unicodedata import normalize

from shared.label_names import label_slug

BY_LABEL: Final = "masks_by_label"
TOGETHER: Final = "masks"
TRUTH: Final = "ground_truth"
"""The folder of masks in MVTec's layout: ``ground_truth/<class>/<image>_mask.png``."""
FORMS: Final[tuple[Literal["NFC", "NFD"], ...]] = ("NFC", "NFD")
"""Forms of Unicode in which file systems store names."""


def mask_files(folder: Path, name: str, labels: Collection[str]) -> Iterator[tuple[str, Path]]:
    """Yield the existing mask files of an image: the `mask_name`, and the path.

    Args:
        folder: of the dataset.
        name: of the image in its table.
        labels: all labels.
    """
    image = PurePosixPath(name)
    spellings = {mask_name(name): [mask_name(name)]}
    for label in labels:
        own = [mask_name(name, label)]
        if "/" not in label:
            own.append(str(PurePosixPath(BY_LABEL) / image.with_name(f"{image.stem}_{label}.png")))
        spellings[own[0]] = own
    for mask, written in spellings.items():
        paths = (folder / normalize(form, each) for each in written for form in FORMS)
        if found := next((path for path in paths if path.is_file()), None):
            yield mask, found


def mask_name(name: str, label: str | None = None) -> str:
    """Return the name of the mask of an image below the dataset's folder.

    Args:
        name: of the image.
        label: that the mask shows; None: the mask shows all defects.
    """
    image = PurePosixPath(name)
    if label is None:
        return str(PurePosixPath(TOGETHER) / image.with_suffix(".png"))
    return str(PurePosixPath(BY_LABEL) / image.with_name(f"{image.stem}_{label_slug(label)}.png"))

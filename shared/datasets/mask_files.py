"""The files of the masks of labelled images.

Beside ``images/`` a folder may have ``masks_by_label/<image>_<label>.png``, one mask for each label, and
``masks/<image>.png``, one mask of all defects of the image. Masks are 0 or 255 and have the size of the image. The
label is written as its slug (`shared.label_names.label_slug`), or as its name if a file can have that name.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath
from typing import Final
from unicodedata import normalize

from shared.datasets.image_files import in_any_case
from shared.imaging.formats import is_readable, readable_name
from shared.label_names import label_slug

MASKS_BY_LABEL_FOLDER: Final = "masks_by_label"
MASKS_FOLDER: Final = "masks"
GROUND_TRUTH_FOLDER: Final = "ground_truth"
"""The folder of masks in MVTec's layout: ``ground_truth/<class>/<image>_mask.png``."""


class MaskFiles:
    """The masks of a folder, found by the names of their images and labels, in any case and Unicode form."""

    def __init__(self, folder: Path) -> None:
        self._paths: dict[str, Path] = {}
        for name in (MASKS_FOLDER, MASKS_BY_LABEL_FOLDER):
            for path in sorted(in_any_case(folder, name).rglob("*")):
                if is_readable(path.name) and not path.name.startswith("."):
                    mask = readable_name(path.relative_to(folder).with_suffix(".png").as_posix())
                    self._paths[_fold_case(mask)] = path
        self._used: set[Path] = set()

    def of(self, name: str, labels: Collection[str]) -> Iterator[tuple[str, Path]]:
        """Yield the `mask_name` and the file of each mask of an image.

        Args:
            name: the image's name in its table.
            labels: all labels of the dataset.
        """
        image = PurePosixPath(name)
        spellings = {mask_name(name): [mask_name(name)]}
        for label in labels:
            by_name = PurePosixPath(MASKS_BY_LABEL_FOLDER) / image.parent / f"{image.stem}_{label}.png"
            spellings[mask_name(name, label)] = [mask_name(name, label), str(by_name)]
        for mask, names in spellings.items():
            paths = [self._paths[_fold_case(name)] for name in names if _fold_case(name) in self._paths]
            if paths:
                self._used.add(paths[0])
                yield mask, paths[0]

    @property
    def unused(self) -> list[str]:
        """The names of the masks that `of` has not yielded so far."""
        return [path.name for path in self._paths.values() if path not in self._used]


def mask_name(name: str, label: str | None = None) -> str:
    """Return the name of the mask of an image below the dataset's folder.

    Args:
        name: the image's name.
        label: the label whose regions the mask shows; None: the mask shows all defects.
    """
    image = PurePosixPath(name)
    if label is None:
        return str(PurePosixPath(MASKS_FOLDER) / image.with_suffix(".png"))
    return str(PurePosixPath(MASKS_BY_LABEL_FOLDER) / image.with_name(f"{image.stem}_{label_slug(label)}.png"))


def _fold_case(name: str) -> str:
    return normalize("NFC", normalize("NFC", name).casefold())

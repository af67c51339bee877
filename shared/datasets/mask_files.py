"""The files of the masks of labelled images.

Beside ``images/`` a folder may have ``masks_by_label/<image>_<label>.png``, one mask for each label, and
``masks/<image>.png``, one mask of all defects of the image. Masks are 0 or 255 and have the size of the image. The file
has the slug of the label (`shared.label_names.label_slug`); a person may write the label's name instead, where a file
can have it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath
from typing import Final
from unicodedata import normalize

from shared.imaging.formats import is_readable
from shared.label_names import label_slug

BY_LABEL: Final = "masks_by_label"
TOGETHER: Final = "masks"
TRUTH: Final = "ground_truth"
"""The folder of masks in MVTec's layout: ``ground_truth/<class>/<image>_mask.png``."""


class MaskFiles:
    """The masks of a folder, found by the names of their images and labels, in any capitals and form of Unicode."""

    def __init__(self, folder: Path) -> None:
        self._paths: dict[str, Path] = {}
        for name in (TOGETHER, BY_LABEL):
            for path in sorted((folder / name).rglob("*")):
                if is_readable(path.name) and not path.name.startswith("."):
                    mask = path.relative_to(folder).with_suffix(".png").as_posix()
                    self._paths[_folded(mask)] = path
        self._used: set[Path] = set()

    def of(self, name: str, labels: Collection[str]) -> Iterator[tuple[str, Path]]:
        """Yield the `mask_name` and the file of each mask of an image.

        Args:
            name: of the image in its table.
            labels: all labels.
        """
        image = PurePosixPath(name)
        spellings = {mask_name(name): [mask_name(name)]}
        for label in labels:
            by_name = PurePosixPath(BY_LABEL) / image.parent / f"{image.stem}_{label}.png"
            spellings[mask_name(name, label)] = [mask_name(name, label), str(by_name)]
        for mask, written in spellings.items():
            if path := next((found for each in written if (found := self._paths.get(_folded(each)))), None):
                self._used.add(path)
                yield mask, path

    @property
    def unused(self) -> list[str]:
        """The names of the masks that belong to no image so far."""
        return [path.name for path in self._paths.values() if path not in self._used]


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


def _folded(name: str) -> str:
    return normalize("NFC", normalize("NFC", name).casefold())

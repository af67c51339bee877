"""A folder per class: the name of the folder is the label of its images (also MVTec, torchvision, YOLO-cls)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Final

from shared.datasets.annotations import AnnotatedImage, Annotations
from shared.datasets.image_files import IMAGES, ImageFiles, images_folder
from shared.datasets.mask_files import BY_LABEL, TOGETHER, TRUTH
from shared.datasets.tables import Place
from shared.imaging.formats import is_readable

KIND: Final = "a folder per class"
SPLITS: Final = frozenset({"train", "training", "val", "valid", "validation", "test"})
"""Folders of splits, above those of the classes."""


def find_class_folders(folder: Path) -> list[Path]:
    """Return the folders of the classes: at least two, and no image beside them."""
    if not folder.is_dir():
        return []
    found = list(_classes(folder))
    names = {path.name for path in found}
    beside = any(path.is_file() and is_readable(path.name) for path in folder.iterdir())
    return found if len(names) > 1 and not beside else []


def read_class_folders(paths: Sequence[Path], folder: Path) -> Annotations:
    """Read the folders of the classes. Folders below a class are its images too."""
    images = []
    for path in paths:
        below = ImageFiles(path)
        for index, name in enumerate(below.images, start=1):
            given = (path.relative_to(folder) / name).as_posix()
            place = Place(path.relative_to(folder).as_posix(), index, "image")
            truth = folder / TRUTH / path.name / f"{PurePosixPath(name).stem}_mask.png"
            masks: dict[str | None, Path] = {path.name: truth} if path.parent.name == "test" and truth.is_file() else {}
            images.append(AnnotatedImage(given, place, frozenset({path.name}), masks=masks))
    labels = tuple(dict.fromkeys(path.name for path in paths))
    source = ", ".join(f"{path.relative_to(folder).as_posix()}/" for path in paths[:3]) + (", …" if paths[3:] else "")
    return Annotations(KIND, source, labels, tuple(images), exclusive=True)


def read_good_images(folder: Path) -> Annotations:
    """Read images without labels as images of good parts; a single folder of a class has its name as the label."""
    alone = [path for path in _classes(folder) if path.name.casefold() != IMAGES and path.name.lower() not in SPLITS]
    if len(alone) == 1:
        return read_class_folders(alone, folder)
    found = ImageFiles(images_folder(folder), (TOGETHER, BY_LABEL, TRUTH)).images
    images = tuple(
        AnnotatedImage(name, Place(folder.name, index, "image"), frozenset({"good"}))
        for index, name in enumerate(found, start=1)
    )
    return Annotations("images without labels", folder.name, ("good",), images)


def _classes(folder: Path) -> Iterator[Path]:
    below = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith((".", "__")))
    splits = [path for path in below if path.name.lower() in SPLITS]
    if splits and all(path in splits or path.name == TRUTH for path in below):
        for split in splits:
            yield from _classes(split)
        return
    for path in below:
        if path.name not in (TOGETHER, BY_LABEL, TRUTH) and ImageFiles(path).images:
            yield path

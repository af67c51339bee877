"""A folder per class: the name of the folder is the label of its images (also MVTec, torchvision, YOLO-cls)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Final

from shared.datasets.annotations import AnnotatedImage, Annotations
from shared.datasets.image_files import IMAGES, ImageFiles, images_folder, in_any_case
from shared.datasets.mask_files import GROUND_TRUTH_FOLDER, MASKS_BY_LABEL_FOLDER, MASKS_FOLDER
from shared.datasets.tables import Place
from shared.imaging.formats import is_readable

KIND: Final = "a folder per class"
SPLITS: Final = frozenset({"train", "training", "val", "valid", "validation", "test"})
"""Folders of splits, which hold the folders of the classes."""


def find_class_folders(folder: Path) -> list[Path]:
    """Return the folders of the classes; none if there is only one class, or an image beside the folders."""
    if not folder.is_dir():
        return []
    class_folders = list(_class_folders(folder))
    classes = {path.name.casefold() for path in class_folders}
    return class_folders if len(classes) > 1 and not images_beside(folder) else []


def images_beside(folder: Path) -> list[str]:
    """Return the names of the images that are in a folder itself, and not in a folder below it."""
    return sorted(path.name for path in folder.iterdir() if path.is_file() and is_readable(path.name))


def read_class_folders(paths: Sequence[Path], folder: Path) -> Annotations:
    """Read the folders of the classes, with their subfolders."""
    images = []
    for path in paths:
        for index, name in enumerate(ImageFiles(path).images, start=1):
            given = (path.relative_to(folder) / name).as_posix()
            place = Place(path.relative_to(folder).as_posix(), index, "image")
            mask = in_any_case(folder, GROUND_TRUTH_FOLDER) / path.name / f"{PurePosixPath(name).stem}_mask.png"
            masks: dict[str | None, Path] = (
                {path.name: mask} if path.parent.name.lower() == "test" and mask.is_file() else {}
            )
            images.append(AnnotatedImage(given, place, frozenset({path.name}), masks=masks))
    labels = tuple(dict.fromkeys(path.name for path in paths))
    source = ", ".join(f"{path.relative_to(folder).as_posix()}/" for path in paths[:3]) + (", …" if paths[3:] else "")
    return Annotations(KIND, source, labels, tuple(images), exclusive=True)


def read_good_images(folder: Path) -> Annotations:
    """Read images without labels as images of good parts.

    If the images are in a single class folder, its name is their label; else they have the label ``good``.
    """
    class_folders = [
        path for path in _class_folders(folder) if path.name.casefold() != IMAGES and path.name.lower() not in SPLITS
    ]
    if len(class_folders) == 1:
        return read_class_folders(class_folders, folder)
    mask_folders = (MASKS_FOLDER, MASKS_BY_LABEL_FOLDER, GROUND_TRUTH_FOLDER)
    images = tuple(
        AnnotatedImage(name, Place(folder.name, index, "image"), frozenset({"good"}))
        for index, name in enumerate(ImageFiles(images_folder(folder), mask_folders).images, start=1)
    )
    return Annotations("images without labels", folder.name, ("good",), images)


def _class_folders(folder: Path) -> Iterator[Path]:
    subfolders = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith((".", "__")))
    splits = [path for path in subfolders if path.name.lower() in SPLITS]
    if splits and all(path in splits or path.name.lower() == GROUND_TRUTH_FOLDER for path in subfolders):
        for split in splits:
            yield from _class_folders(split)
        return
    for path in subfolders:
        if (
            path.name.lower() not in (MASKS_FOLDER, MASKS_BY_LABEL_FOLDER, GROUND_TRUTH_FOLDER)
            and ImageFiles(path).images
        ):
            yield path

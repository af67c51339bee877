"""YOLO: a text file beside each image, a line for each object, with coordinates as shares of width and height."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import prod
from pathlib import Path, PurePath, PurePosixPath
from typing import Final
from unicodedata import normalize

from shared.datasets.annotations import AnnotatedImage, Annotations, Region, box
from shared.datasets.formats.documents import MOST_TEXT_BYTES, parse_number, read_bytes, read_yaml
from shared.datasets.image_files import ImageFiles, in_any_case
from shared.datasets.tables import DatasetError, Place, Problem
from shared.imaging.formats import readable_name

KIND: Final = "YOLO"
CLASS_NAME_FILES: Final = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml", "classes.txt", "obj.names")
"""Files that name the classes."""
NOT_LABEL_FILES: Final = frozenset(
    {"classes.txt", "notes.txt", "train.txt", "val.txt", "valid.txt", "test.txt", "readme.txt"}
)


def find_yolo(folder: Path) -> list[Path]:
    """Return the file that names the classes; none if it is missing, or label files and folders are missing.

    If it is not in the folder, it may be among the label files, where LabelImg writes it.
    """
    paths = [path for name in CLASS_NAME_FILES if (path := in_any_case(folder, name)).is_file()][:1]
    if not paths:
        paths = sorted(path for path in folder.rglob("*.txt") if path.name.lower() in CLASS_NAME_FILES)
    has_labels = paths and (_label_files(folder) or any(path.is_dir() for path in folder.rglob("labels")))
    return paths if has_labels else []


def read_yolo(paths: Sequence[Path], folder: Path) -> Annotations:
    """Read label files. An image without a label file has no object, as in YOLO's own training.

    An image with a line that can't be read is left out: it may have another label than the other lines say.

    Raises:
        DatasetError: the names of the classes can't be read, or several files differ in them.
    """
    labels = class_names(paths[0])
    if other := next((path for path in paths if class_names(path) != labels), None):
        one, two = (path.relative_to(folder) for path in (paths[0], other))
        raise DatasetError([f"{one} and {two} name different classes: keep one of the two files"])
    files = ImageFiles(folder)
    by_stem = {_stem_key(PurePosixPath(name)): name for name in files.images}
    keypoint_number_count = count_keypoint_numbers(paths[0])
    skipped: Counter[str] = Counter()
    problems: list[Problem] = []
    images: dict[str, AnnotatedImage] = {}
    incomplete_images: set[str] = set()
    for path in _label_files(folder):
        relative = path.relative_to(folder)
        image_parts = ["images" if part.lower() == "labels" else part for part in relative.parts]
        name = by_stem.get(_stem_key(PurePosixPath(*image_parts))) or by_stem.get(_stem_key(relative))
        if name is None:
            skipped["label files without an image"] += 1
            continue
        regions, unreadable_lines = [], 0
        text = read_bytes(path, MOST_TEXT_BYTES).decode("utf-8-sig", "replace")
        for number, line in enumerate(text.splitlines(), start=1):
            place = Place(relative.as_posix(), number)
            region = region_of(line, labels, keypoint_number_count)
            if isinstance(region, Region):
                regions.append(region)
            elif region:
                problems.append(Problem(place, region, region))
                unreadable_lines += 1
        if unreadable_lines:
            skipped["objects whose line can't be read"] += unreadable_lines
            skipped["images with such an object"] += 1
            incomplete_images.add(name)
            continue
        images[name] = AnnotatedImage(_below_images(name), Place(relative.as_posix(), 1), regions=tuple(regions))
    empty = [name for name in files.images if name not in images and name not in incomplete_images]
    for index, name in enumerate(empty, start=1):
        images[name] = AnnotatedImage(_below_images(name), Place(paths[0].name, index, "empty image"))
    source = paths[0].relative_to(folder).as_posix()
    if empty:
        source += f"; {len(empty)} images without a label file have no object"
    return Annotations(KIND, source, labels, tuple(images.values()), tuple(problems), skipped)


def _label_files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*.txt")) if path.name.lower() not in NOT_LABEL_FILES]


def _stem_key(path: PurePath) -> str:
    """Return a path without its extension, in lower case and composed Unicode; an image and its label file share it."""
    return normalize("NFC", readable_name(str(PurePosixPath(path.with_suffix(""))))).casefold()


def count_keypoint_numbers(path: Path) -> int:
    """Return how many numbers of key points follow each box, as ``kpt_shape`` says; 0 if there are no key points."""
    document = read_yaml(path) if path.suffix.lower() in (".yaml", ".yml") else None
    shape = document.get("kpt_shape") if isinstance(document, dict) else None
    return prod(shape) if isinstance(shape, list) and all(isinstance(side, int) for side in shape) else 0


def _below_images(name: str) -> str:
    """Return the name of an image without a leading ``images/``."""
    return name.removeprefix("images/")


def class_names(path: Path) -> tuple[str, ...]:
    """Return the names of the classes, in the order of their numbers."""
    if path.suffix in (".yaml", ".yml"):
        document = read_yaml(path)
        names = document.get("names") if isinstance(document, dict) else None
        if isinstance(names, dict):
            names = (
                [names[key] for key in sorted(names, key=int)] if all(str(key).isdecimal() for key in names) else None
            )
        if not isinstance(names, list) or not names:
            raise DatasetError([f"{path.name}: has no names: list the names of the classes there"])
        return tuple(str(name) for name in names)
    lines = read_bytes(path, MOST_TEXT_BYTES).decode("utf-8-sig", "replace").splitlines()
    names = [line.strip() for line in lines if line.strip()]
    if not names:
        raise DatasetError([f"{path.name}: is empty: write the names of the classes there, one a line"])
    return tuple(names)


def region_of(line: str, labels: Sequence[str], keypoint_number_count: int = 0) -> Region | str | None:
    """Return the region of a line (a box or a polygon), None for an empty line, or the message for a wrong line.

    Args:
        line: a line of a label file.
        labels: the names of the classes.
        keypoint_number_count: how many numbers of key points follow each box; key points have no area.
    """
    words = line.split()
    if not words:
        return None
    numbers = [parse_number(word) for word in words]
    if not words[0].isdecimal() or any(value is None for value in numbers):
        return "not a class and numbers: write `class x y width height`, or `class x1 y1 x2 y2 x3 y3 …`"
    if int(words[0]) >= len(labels):
        return f"there is no class {words[0]}: {len(labels)} are named"
    label = labels[int(words[0])]
    values = [value for value in numbers[1:] if value is not None]
    if len(values) in {4, 4 + keypoint_number_count}:
        x, y, width, height = values[:4]
        return box(label, x - width / 2, y - height / 2, x + width / 2, y + height / 2, relative=True)
    if len(values) >= 6 and len(values) % 2 == 0:
        return Region(label, "polygon", [list(zip(values[::2], values[1::2], strict=True))], relative=True)
    return f"{len(values)} numbers after the class: a box has four, a polygon six or more, in pairs"

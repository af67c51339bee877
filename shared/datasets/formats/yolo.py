"""YOLO: a text file beside each image, a line for each object, with coordinates as shares of width and height."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import prod
from pathlib import Path, PurePath, PurePosixPath
from typing import Final
from unicodedata import normalize

from shared.datasets.annotations import AnnotatedImage, Annotations, Region, box
from shared.datasets.formats.documents import MOST_TEXT_BYTES, number, read_bytes, read_yaml
from shared.datasets.image_files import ImageFiles
from shared.datasets.tables import DatasetError, Place, Problem

KIND: Final = "YOLO"
NAMES: Final = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml", "classes.txt", "obj.names")
"""Files that name the classes."""
NOT_LABELS: Final = frozenset(
    {"classes.txt", "notes.txt", "train.txt", "val.txt", "valid.txt", "test.txt", "readme.txt"}
)


def find_yolo(folder: Path) -> list[Path]:
    """Return the file that names the classes, if there is one, and label files or a folder for them."""
    found = [folder / name for name in NAMES if (folder / name).is_file()]
    has_labels = found and (_label_files(folder) or any(path.is_dir() for path in folder.rglob("labels")))
    return found[:1] if has_labels else []


def read_yolo(paths: Sequence[Path], folder: Path) -> Annotations:
    """Read label files. An image without one has no object, as YOLO's training takes it.

    An image with a line that can't be read is left out: it may have another label than the other lines say.

    Raises:
        DatasetError: the names of the classes can't be read.
    """
    labels = class_names(paths[0])
    files = ImageFiles(folder)
    by_stem = {_stem(PurePosixPath(name)): name for name in files.images}
    key_numbers = numbers_of_keypoints(paths[0])
    left_out: Counter[str] = Counter()
    problems: list[Problem] = []
    images: dict[str, AnnotatedImage] = {}
    spoilt: set[str] = set()
    for path in _label_files(folder):
        written = path.relative_to(folder)
        parts = ["images" if part.lower() == "labels" else part for part in written.parts]
        name = by_stem.get(_stem(PurePosixPath(*parts))) or by_stem.get(_stem(written))
        if name is None:
            left_out["label files without an image"] += 1
            continue
        regions, wrong = [], 0
        for line, text in enumerate(
            read_bytes(path, MOST_TEXT_BYTES).decode("utf-8-sig", "replace").splitlines(), start=1
        ):
            place = Place(written.as_posix(), line)
            region = region_of(text, labels, key_numbers)
            if isinstance(region, Region):
                regions.append(region)
            elif region:
                problems.append(Problem(place, region, region))
                wrong += 1
        if wrong:
            left_out["objects whose line can't be read"] += wrong
            left_out["images with such an object"] += 1
            spoilt.add(name)
            continue
        images[name] = AnnotatedImage(_below_images(name), Place(written.as_posix(), 1), regions=tuple(regions))
    empty = [name for name in files.images if name not in images and name not in spoilt]
    for index, name in enumerate(empty, start=1):
        images[name] = AnnotatedImage(_below_images(name), Place(paths[0].name, index, "image without objects"))
    source = paths[0].relative_to(folder).as_posix()
    if empty:
        source += f"; {len(empty)} images without a label file have no object"
    return Annotations(KIND, source, labels, tuple(images.values()), tuple(problems), left_out)


def _label_files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*.txt")) if path.name.lower() not in NOT_LABELS]


def _stem(path: PurePath) -> str:
    """Return by what an image and its label file find each other: without ending, capitals and the form of Unicode."""
    return normalize("NFC", str(PurePosixPath(path.with_suffix("")))).casefold()


def numbers_of_keypoints(path: Path) -> int:
    """Return how many numbers of key points stand behind each box (``kpt_shape``); 0 if there are none."""
    document = read_yaml(path) if path.suffix.lower() in (".yaml", ".yml") else None
    shape = document.get("kpt_shape") if isinstance(document, dict) else None
    return prod(shape) if isinstance(shape, list) and all(isinstance(side, int) for side in shape) else 0


def _below_images(name: str) -> str:
    """Return the name of an image below the folder ``images``, where that holds all images of the dataset."""
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


def region_of(text: str, labels: Sequence[str], key_numbers: int = 0) -> Region | str | None:
    """Read a line: a box of five numbers, or a polygon; None for an empty line, and a text that says what is wrong.

    Args:
        text: the line.
        labels: the names of the classes.
        key_numbers: how many numbers of key points, which have no area, follow each box.
    """
    words = text.split()
    if not words:
        return None
    numbers = [number(word) for word in words]
    if not words[0].isdecimal() or any(value is None for value in numbers):
        return "not a class and numbers: write `class x y width height`, or `class x1 y1 x2 y2 x3 y3 …`"
    if int(words[0]) >= len(labels):
        return f"there is no class {words[0]}: {len(labels)} are named"
    label = labels[int(words[0])]
    values = [value for value in numbers[1:] if value is not None]
    if len(values) in {4, 4 + key_numbers}:
        x, y, width, height = values[:4]
        return box(label, x - width / 2, y - height / 2, x + width / 2, y + height / 2, relative=True)
    if len(values) >= 6 and len(values) % 2 == 0:
        return Region(label, "polygon", [list(zip(values[::2], values[1::2], strict=True))], relative=True)
    return f"{len(values)} numbers after the class: a box has four, a polygon six or more, in pairs"

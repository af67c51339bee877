"""Pascal VOC: an XML file for each image, with its objects and their boxes, as LabelImg writes them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Final
from xml.etree.ElementTree import Element

from shared.datasets.annotations import AnnotatedImage, Annotations, Region, box
from shared.datasets.formats.documents import head, number, read_xml
from shared.datasets.image_files import ImageFiles, NoSuchImage, images_folder
from shared.datasets.tables import DatasetError, Place, Problem

KIND: Final = "Pascal VOC"
ROOT: Final = re.compile(rb"<annotation[\s>]")
"""The first element; LabelImg notes in it that a person has verified the image."""


def find_voc(folder: Path) -> list[Path]:
    """Return the XML files whose first element is ``annotation``."""
    return [path for path in sorted(folder.rglob("*.xml")) if ROOT.search(head(path))]


def read_voc(paths: Sequence[Path], folder: Path) -> Annotations:
    """Read XML files; one that can't be read is a problem."""
    labels: dict[str, None] = {}
    problems: list[Problem] = []
    images = []
    files = ImageFiles(images_folder(folder))
    for path in paths:
        place = Place(path.relative_to(folder).as_posix(), 1)
        try:
            image, names = _read(read_xml(path), path, place, files)
        except DatasetError as error:
            problems.append(Problem(place, str(error), "XML"))
            continue
        labels |= dict.fromkeys(names)
        images.append(image)
    source = f"{len(paths)} files {paths[0].relative_to(folder).as_posix()}, …"
    left_out = {"XML files that can't be read": len(problems)}
    return Annotations(KIND, source, tuple(labels), tuple(images), tuple(problems), left_out)


def _read(root: Element, path: Path, place: Place, files: ImageFiles) -> tuple[AnnotatedImage, list[str]]:
    labels: list[str] = []
    regions: list[Region] = []
    for thing in root.iterfind("object"):
        label = (thing.findtext("name") or "").strip()
        labels.append(label)
        found = region_of(thing, label)
        if found:
            regions.append(found)
    width, height = (number(root.findtext(f"size/{side}")) for side in ("width", "height"))
    size = (int(width), int(height)) if width and height else None
    given = image_name(root, path, files)
    return AnnotatedImage(given, place, frozenset(labels), tuple(regions), size), labels


def image_name(root: Element, path: Path, files: ImageFiles) -> str:
    """Return the image that a file is about: the one that it names, or else the one of its own name.

    Tools copy a file with the name of another image in it; its own name is right more often.
    """
    own = PurePosixPath(path.name).stem
    try:
        return files.find(own).name
    except NoSuchImage:
        return (root.findtext("filename") or own).strip()


def region_of(thing: Element, label: str) -> Region | None:
    outline = thing.find("polygon")
    if outline is not None:
        numbers = {child.tag: number(child.text) for child in outline}
        pairs = [(numbers.get(f"x{at}"), numbers.get(f"y{at}")) for at in range(1, len(numbers) // 2 + 1)]
        points = [(x, y) for x, y in pairs if x is not None and y is not None]
        if len(points) >= 3:
            return Region(label, "polygon", [points])
    sides = [number(thing.findtext(f"bndbox/{side}")) for side in ("xmin", "ymin", "xmax", "ymax")]
    left, top, right, bottom = sides
    if left is None or top is None or right is None or bottom is None:
        return None
    return box(label, left, top, right, bottom)

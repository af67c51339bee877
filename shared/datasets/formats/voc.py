"""Pascal VOC: an XML file for each image, with its objects and their boxes, as LabelImg writes them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Final
from xml.etree.ElementTree import Element

from shared.datasets.annotations import AnnotatedImage, Annotations, Region, box
from shared.datasets.formats.documents import parse_number, read_head, read_xml
from shared.datasets.image_files import ImageFiles, NoSuchImage, images_folder
from shared.datasets.tables import DatasetError, Place, Problem

KIND: Final = "Pascal VOC"
ROOT: Final = re.compile(rb"<annotation[\s>]")
"""The start tag of the root element; LabelImg adds the attribute ``verified`` to it."""


def find_voc(folder: Path) -> list[Path]:
    """Return the XML files in a folder and in all folders below whose beginning contains the start tag `ROOT`."""
    return [path for path in sorted(folder.rglob("*.xml")) if ROOT.search(read_head(path))]


def read_voc(paths: Sequence[Path], folder: Path) -> Annotations:
    """Read XML files; a file that can't be read is a problem."""
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
    skipped = {"XML files that can't be read": len(problems)}
    return Annotations(KIND, source, tuple(labels), tuple(images), tuple(problems), skipped)


def _read(root: Element, path: Path, place: Place, files: ImageFiles) -> tuple[AnnotatedImage, list[str]]:
    labels: list[str] = []
    regions: list[Region] = []
    for object_ in root.iterfind("object"):
        label = (object_.findtext("name") or "").strip()
        labels.append(label)
        region = region_of(object_, label)
        if region:
            regions.append(region)
    width, height = (parse_number(root.findtext(f"size/{side}")) for side in ("width", "height"))
    size = (int(width), int(height)) if width and height else None
    given = image_name(root, path, files)
    return AnnotatedImage(given, place, frozenset(labels), tuple(regions), size), labels


def image_name(root: Element, path: Path, files: ImageFiles) -> str:
    """Return the image of an XML file: the image with the name of the XML file, or else the image that it names.

    Tools copy XML files without changing the image that they name, so the name of the XML file is right more often.
    """
    stem = PurePosixPath(path.name).stem
    try:
        return files.find(stem).name
    except NoSuchImage:
        return (root.findtext("filename") or stem).strip()


def region_of(object_: Element, label: str) -> Region | None:
    """Return the region of an object: its polygon or else its box; None if it has neither."""
    outline = object_.find("polygon")
    if outline is not None:
        numbers = {child.tag: parse_number(child.text) for child in outline}
        pairs = [(numbers.get(f"x{index}"), numbers.get(f"y{index}")) for index in range(1, len(numbers) // 2 + 1)]
        points = [(x, y) for x, y in pairs if x is not None and y is not None]
        if len(points) >= 3:
            return Region(label, "polygon", [points])
    sides = [parse_number(object_.findtext(f"bndbox/{side}")) for side in ("xmin", "ymin", "xmax", "ymax")]
    left, top, right, bottom = sides
    if left is None or top is None or right is None or bottom is None:
        return None
    return box(label, left, top, right, bottom)

"""CVAT for images 1.1: one XML file of images with tags, boxes, polygons, ellipses and masks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import cos, pi, radians, sin
from pathlib import Path
from typing import Final
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from shared.datasets.annotations import AnnotatedImage, Annotations, Points, Region, box
from shared.datasets.formats.documents import parse_number, read_head, read_xml
from shared.datasets.tables import DatasetError, Place
from shared.imaging.codec import PIXEL_LIMIT

KIND: Final = "CVAT 1.1"
ELLIPSE_CORNERS: Final = 32
"""Corners of the polygon that replaces an ellipse."""


def find_cvat(folder: Path) -> list[Path]:
    """Return the XML files in a folder and in its direct subfolders whose beginning contains ``<annotations>``."""
    paths = sorted([*folder.glob("*.xml"), *folder.glob("*/*.xml")])
    return [path for path in paths if b"<annotations>" in read_head(path)]


def read_cvat(paths: Sequence[Path], folder: Path) -> Annotations:
    """Read XML files of CVAT.

    Raises:
        DatasetError: a file can't be read, or is an export for videos.
    """
    labels: dict[str, None] = {}
    skipped: Counter[str] = Counter()
    images = []
    for path in paths:
        root = read_xml(path)
        if root.find("track") is not None:
            raise DatasetError([f"{path.name}: was exported as `CVAT for video`: export it as `CVAT for images 1.1`"])
        label_names = [(element.text or "").strip() for element in root.iterfind("meta//labels/label/name")]
        labels |= dict.fromkeys(label_names)
        for index, image in enumerate(root.iterfind("image"), start=1):
            place = Place(path.relative_to(folder).as_posix(), index, "image")
            annotated = _annotated_image(image, place, skipped)
            labels |= dict.fromkeys(sorted(annotated.labels - labels.keys()))
            images.append(annotated)
    source = ", ".join(path.relative_to(folder).as_posix() for path in paths)
    return Annotations(KIND, source, tuple(labels), tuple(images), skipped=skipped)


def _annotated_image(image: Element, place: Place, skipped: Counter[str]) -> AnnotatedImage:
    width, height = parse_number(image.get("width")), parse_number(image.get("height"))
    size = (int(width), int(height)) if width and height else None
    labels: set[str] = set()
    regions = []
    for shape in image:
        label = (shape.get("label") or "").strip()
        if not label:
            continue
        labels.add(label)
        region = region_of(shape, label, size)
        if region:
            regions.append(region)
        elif shape.tag != "tag":
            skipped[f"shapes of kind {shape.tag} (only their label is used)"] += 1
    return AnnotatedImage(image.get("name") or "", place, frozenset(labels), tuple(regions), size)


def region_of(shape: Element, label: str, size: tuple[int, int] | None) -> Region | None:
    """Return the region of a shape; None for a shape without a usable area.

    Tags and lines have no area. A box or ellipse with a missing number, and a mask that `mask_of` refuses, have none
    that can be used.

    Args:
        shape: an element of CVAT.
        label: the label of the region.
        size: (width, height) of the image in pixels; None if the file does not give it.
    """

    def numbers(*names: str) -> list[float]:
        values = [parse_number(shape.get(name)) for name in names]
        return [value for value in values if value is not None] if None not in values else []

    degrees = parse_number(shape.get("rotation")) or 0.0
    region = None
    if shape.tag == "polygon":
        pairs = [pair.split(",") for pair in (shape.get("points") or "").split(";")]
        points = [(parse_number(pair[0]), parse_number(pair[1])) for pair in pairs if len(pair) == 2]
        region = Region(label, "polygon", [[(x, y) for x, y in points if x is not None and y is not None]])
    elif shape.tag == "box" and (sides := numbers("xtl", "ytl", "xbr", "ybr")):
        left, top, right, bottom = sides
        if degrees:
            region = Region(label, "box", [rotate_box(left, top, right, bottom, degrees)])
        else:
            region = box(label, left, top, right, bottom)
    elif shape.tag == "ellipse" and (axes := numbers("cx", "cy", "rx", "ry")):
        x, y, half_width, half_height = axes
        region = Region(label, "polygon", [ellipse_polygon(x, y, half_width, half_height, degrees)])
    elif shape.tag == "mask" and size:
        region = mask_of(shape, label, size)
    return region


def mask_of(shape: Element, label: str, size: tuple[int, int]) -> Region | None:
    """Return the region of a mask; None if it does not fit its bounding box or the image, or the image is too large.

    CVAT writes the pixels of the bounding box row by row as run lengths: pixels outside of the mask and inside in turn,
    outside first.

    Args:
        shape: an element of CVAT.
        label: the label of the region.
        size: (width, height) of the image in pixels.
    """
    sides = [parse_number(shape.get(name)) for name in ("left", "top", "width", "height")]
    left, top, width, height = (-1 if side is None else int(side) for side in sides)
    counts = [int(word) for word in (shape.get("rle") or "").replace(" ", "").split(",") if word.isdecimal()]
    is_inside = left >= 0 and top >= 0 and left + width <= size[0] and top + height <= size[1]
    if not is_inside or size[0] * size[1] > PIXEL_LIMIT or sum(counts) != width * height:
        return None

    def pixels() -> NDArray[np.bool_]:
        mask = np.zeros((size[1], size[0]), np.bool_)
        values = np.arange(len(counts)) % 2 == 1
        mask[top : top + height, left : left + width] = np.repeat(values, counts).reshape(height, width)
        return mask

    return Region(label, "mask", pixels=pixels)


def rotate_box(left: float, top: float, right: float, bottom: float, degrees: float) -> Points:
    """Return the corners of a box that is rotated clockwise about its middle."""
    x, y = (left + right) / 2, (top + bottom) / 2
    half_width, half_height = (right - left) / 2, (bottom - top) / 2
    corners = [
        (-half_width, -half_height), (half_width, -half_height), (half_width, half_height), (-half_width, half_height),
    ]  # fmt: skip
    return rotate_about(x, y, corners, degrees)


def ellipse_polygon(x: float, y: float, half_width: float, half_height: float, degrees: float = 0.0) -> Points:
    """Return a polygon for an ellipse that is rotated clockwise about its middle, (``x``, ``y``)."""
    angles = [2 * pi * number / ELLIPSE_CORNERS for number in range(ELLIPSE_CORNERS)]
    return rotate_about(x, y, [(half_width * cos(angle), half_height * sin(angle)) for angle in angles], degrees)


def rotate_about(x: float, y: float, offsets: Points, degrees: float) -> Points:
    """Return the points at ``offsets`` from (``x``, ``y``), rotated clockwise about it (y points down)."""
    angle = radians(degrees)
    return [(x + dx * cos(angle) - dy * sin(angle), y + dx * sin(angle) + dy * cos(angle)) for dx, dy in offsets]

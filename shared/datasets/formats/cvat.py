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
from shared.datasets.formats.documents import head, number, read_xml
from shared.datasets.tables import DatasetError, Place
from shared.imaging.codec import PIXEL_LIMIT

KIND: Final = "CVAT 1.1"
WITHOUT_AREA: Final = frozenset({"polyline", "points", "cuboid", "skeleton"})
CORNERS: Final = 32
"""Corners of the polygon that stands for an ellipse."""


def find_cvat(folder: Path) -> list[Path]:
    """Return the XML files whose first element is ``annotations``."""
    found = sorted([*folder.glob("*.xml"), *folder.glob("*/*.xml")])
    return [path for path in found if b"<annotations>" in head(path)]


def read_cvat(paths: Sequence[Path], folder: Path) -> Annotations:
    """Read XML files of CVAT.

    Raises:
        DatasetError: a file can't be read, or is an export for videos.
    """
    labels: dict[str, None] = {}
    left_out: Counter[str] = Counter()
    images = []
    for path in paths:
        root = read_xml(path)
        if root.find("track") is not None:
            raise DatasetError([f"{path.name}: is an export `CVAT for video`: export it as `CVAT for images 1.1`"])
        named = [(each.text or "").strip() for each in root.iterfind("meta//labels/label/name")]
        labels |= dict.fromkeys(named)
        for index, image in enumerate(root.iterfind("image"), start=1):
            place = Place(path.relative_to(folder).as_posix(), index, "image")
            found = _annotated(image, place, left_out)
            labels |= dict.fromkeys(sorted(found.labels - labels.keys()))
            images.append(found)
    source = ", ".join(path.relative_to(folder).as_posix() for path in paths)
    return Annotations(KIND, source, tuple(labels), tuple(images), left_out=left_out)


def _annotated(image: Element, place: Place, left_out: Counter[str]) -> AnnotatedImage:
    width, height = number(image.get("width")), number(image.get("height"))
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
            left_out[f"shapes of kind {shape.tag}, of which the label alone is taken"] += 1
    return AnnotatedImage(image.get("name") or "", place, frozenset(labels), tuple(regions), size)


def region_of(shape: Element, label: str, size: tuple[int, int] | None) -> Region | None:
    """Return the place that a shape marks; None for one without an area."""

    def numbers(*names: str) -> list[float]:
        found = [number(shape.get(name)) for name in names]
        return [value for value in found if value is not None] if None not in found else []

    turned = number(shape.get("rotation")) or 0.0
    region = None
    if shape.tag == "polygon":
        pairs = [pair.split(",") for pair in (shape.get("points") or "").split(";")]
        points = [(number(pair[0]), number(pair[1])) for pair in pairs if len(pair) == 2]
        region = Region(label, "polygon", [[(x, y) for x, y in points if x is not None and y is not None]])
    elif shape.tag == "box" and (sides := numbers("xtl", "ytl", "xbr", "ybr")):
        left, top, right, bottom = sides
        upright = box(label, left, top, right, bottom)
        region = Region(label, "box", [rotated(left, top, right, bottom, turned)]) if turned else upright
    elif shape.tag == "ellipse" and (axes := numbers("cx", "cy", "rx", "ry")):
        x, y, across, down = axes
        region = Region(label, "polygon", [ellipse(x, y, across, down, turned)])
    elif shape.tag == "mask" and size:
        region = mask_of(shape, label, size)
    return region


def mask_of(shape: Element, label: str, size: tuple[int, int]) -> Region | None:
    """Return a mask from its run lengths, row by row in its own box."""
    sides = [number(shape.get(name)) for name in ("left", "top", "width", "height")]
    left, top, width, height = (-1 if side is None else int(side) for side in sides)
    counts = [int(word) for word in (shape.get("rle") or "").replace(" ", "").split(",") if word.isdecimal()]
    inside = left >= 0 and top >= 0 and left + width <= size[0] and top + height <= size[1]
    if not inside or size[0] * size[1] > PIXEL_LIMIT or sum(counts) != width * height:
        return None

    def pixels() -> NDArray[np.bool_]:
        drawn = np.zeros((size[1], size[0]), np.bool_)
        values = np.arange(len(counts)) % 2 == 1
        drawn[top : top + height, left : left + width] = np.repeat(values, counts).reshape(height, width)
        return drawn

    return Region(label, "mask", pixels=pixels)


def rotated(left: float, top: float, right: float, bottom: float, degrees: float) -> Points:
    """Return the corners of a box that is turned clockwise about its middle."""
    x, y, turn = (left + right) / 2, (top + bottom) / 2, radians(degrees)
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    return [
        (x + (a - x) * cos(turn) - (b - y) * sin(turn), y + (a - x) * sin(turn) + (b - y) * cos(turn))
        for a, b in corners
    ]


def ellipse(x: float, y: float, across: float, down: float, degrees: float = 0.0) -> Points:
    """Return a polygon for an ellipse by its middle and half axes, turned clockwise."""
    turn = radians(degrees)
    around = [(across * cos(2 * pi * at / CORNERS), down * sin(2 * pi * at / CORNERS)) for at in range(CORNERS)]
    return [(x + a * cos(turn) - b * sin(turn), y + a * sin(turn) + b * cos(turn)) for a, b in around]

"""Label Studio: the JSON and JSON-MIN exports, with choices, rectangles, polygons, ellipses and brush strokes.

Of other regions, such as key points, the label is used.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from math import cos, isfinite, radians, sin
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from shared.datasets.annotations import AnnotatedImage, Annotations, Region, box
from shared.datasets.formats.cvat import ellipse_polygon
from shared.datasets.formats.documents import read_head, read_json
from shared.datasets.image_files import IMAGES, is_image_like
from shared.datasets.tables import Place, Problem
from shared.imaging.codec import PIXEL_LIMIT

KIND: Final = "Label Studio"
LABEL_FIELD: Final = "labels"
"""The end of the names of fields that hold the labels of a region, such as ``rectanglelabels``."""
LABEL_ALONE: Final = "of which only the label is used"
ANNOTATION_FIELDS: Final = frozenset({"id", "annotator", "annotation_id", "created_at", "updated_at", "lead_time"})
"""Fields of the JSON-MIN export that describe the annotation, not the image."""


class Result(BaseModel):
    """One choice or region of an annotation."""

    model_config = ConfigDict(extra="ignore")

    type: str = ""
    value: dict[str, Any] = {}
    original_width: int | None = Field(None, ge=0)
    original_height: int | None = Field(None, ge=0)
    image_rotation: float | None = None
    """Degrees by which the image was turned while it was labelled."""


class TaskAnnotation(BaseModel):
    """The annotation of one image by one person."""

    model_config = ConfigDict(extra="ignore")

    result: list[Result] = []
    was_cancelled: bool = False
    created_at: datetime | None = None
    completed_by: Any = None


class LabelTask(BaseModel):
    """One image with its annotations."""

    model_config = ConfigDict(extra="ignore")

    data: dict[str, Any]
    annotations: list[TaskAnnotation] = []


def find_label_studio(folder: Path) -> list[Path]:
    """Return the JSON files that are a list of tasks or of annotated images."""
    return [path for path in sorted(folder.glob("*.json")) if _is_export(path)]


def read_label_studio(paths: Sequence[Path], folder: Path) -> Annotations:
    """Read exports; an image that several people annotated differently is a problem.

    Raises:
        DatasetError: a file is not an export of Label Studio.
    """
    labels: dict[str, None] = {}
    skipped: Counter[str] = Counter()
    problems: list[Problem] = []
    images = []
    for path in paths:
        tasks: list[dict[str, Any]] = read_json(path, list[dict[str, Any]], KIND)
        for index, task in enumerate(tasks, start=1):
            place = Place(path.relative_to(folder).as_posix(), index, "task")
            try:
                image = (
                    image_of_task(task, place, skipped, problems)
                    if "data" in task
                    else image_of_minimal(task, place, skipped)
                )
            except (ValueError, TypeError, OverflowError) as error:
                reason = str(error).splitlines()[0]
                problems.append(Problem(place, f"can't be read ({reason}): export it again", "unreadable"))
                skipped["tasks that can't be read"] += 1
                continue
            if image:
                labels |= dict.fromkeys(sorted(image.all_labels - labels.keys()))
                images.append(image)
    has_regions = any(image.regions for image in images) or any(LABEL_ALONE in kind for kind in skipped)
    is_exclusive = len(labels) > 1 and not has_regions and all(len(image.labels) == 1 for image in images)
    source = ", ".join(path.relative_to(folder).as_posix() for path in paths)
    return Annotations(KIND, source, tuple(labels), tuple(images), tuple(problems), skipped, exclusive=is_exclusive)


def _is_export(path: Path) -> bool:
    start = read_head(path).lstrip(b"\xef\xbb\xbf \t\r\n")
    return start.startswith(b"[") and (b'"data"' in start or b'"annotator"' in start or b'"annotation_id"' in start)


def image_of_task(
    task: dict[str, Any], place: Place, skipped: Counter[str], problems: list[Problem]
) -> AnnotatedImage | None:
    """Return the image of a task with its last annotation.

    Return None if the task has no image or no annotation, or if its annotations have different labels, which is added
    to ``problems``.
    """
    annotations = task.get("annotations") or task.get("completions") or []
    label_task = LabelTask.model_validate({**task, "annotations": annotations})
    given = _image_of(label_task.data)
    if given is None:
        skipped["tasks without an image"] += 1
        return None
    completed = [annotation for annotation in label_task.annotations if not annotation.was_cancelled]
    if not completed:
        skipped["tasks without an annotation"] += 1
        return None
    images = [_annotated_image(given, annotation, place, skipped) for annotation in completed]
    if any(image.all_labels != images[0].all_labels for image in images):
        text = f"{given}: {len(images)} annotations say different labels: keep one of them"
        problems.append(Problem(place, text, "different annotations"))
        skipped["images with different annotations"] += 1
        return None
    skipped["further annotations of the same labels"] += len(images) - 1
    return images[-1]


def _annotated_image(given: str, annotation: TaskAnnotation, place: Place, skipped: Counter[str]) -> AnnotatedImage:
    labels: set[str] = set()
    regions: list[Region] = []
    size = None
    for result in annotation.result:
        if result.original_width and result.original_height:
            size = (result.original_width, result.original_height)
        if isinstance(result.value.get("choices"), list):
            labels.update(str(choice) for choice in result.value["choices"])
            continue
        result_labels = labels_of(result.value)
        labels.update(result_labels)
        if not result_labels and result.type:
            skipped[f"results of kind {result.type}"] += 1
        elif result.image_rotation:
            skipped["regions of images that were turned while they were labelled, of which only the label is used"] += 1
        else:
            regions.extend(_regions(result_labels, result.value, size, skipped))
    created_at = annotation.created_at
    if created_at is not None and created_at.tzinfo is None:
        created_at = created_at.replace(tzinfo=UTC)
    labelled_by = _annotator(annotation.completed_by)
    return AnnotatedImage(given, place, frozenset(labels), tuple(regions), size, by=labelled_by, at=created_at)


def image_of_minimal(task: dict[str, Any], place: Place, skipped: Counter[str]) -> AnnotatedImage | None:
    """Return an image of the JSON-MIN export, whose fields have the names of the project's controls."""
    given = _image_of(task)
    if given is None:
        skipped["tasks without an image"] += 1
        return None
    labels: set[str] = set()
    regions: list[Region] = []
    size = None
    for name, value in task.items():
        if name in ANNOTATION_FIELDS or value == given:
            continue
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, str):
                labels.add(each)
            elif isinstance(each, dict) and isinstance(each.get("choices"), list):
                labels.update(str(choice) for choice in each["choices"])
            elif isinstance(each, dict):
                width, height = each.get("original_width"), each.get("original_height")
                size = (width, height) if isinstance(width, int) and isinstance(height, int) else size
                region_labels = labels_of(each)
                labels.update(region_labels)
                regions.extend(_regions(region_labels, each, size, skipped))
    return AnnotatedImage(given, place, frozenset(labels), tuple(regions), size, by=_annotator(task.get("annotator")))


def _image_of(data: Mapping[str, Any]) -> str | None:
    """Return the image of a task: the first value that names one."""
    texts = [value for value in data.values() if isinstance(value, str)]
    address = next((text for text in texts if is_image_like(text)), None)
    return address and (unquote(address.partition("?d=")[2]) or address).removeprefix(f"{IMAGES}/")


def _annotator(by: object) -> str | None:
    if isinstance(by, dict):
        by = by.get("email") or by.get("id")
    return str(by) if by is not None else None


def labels_of(value: Mapping[str, Any]) -> list[str]:
    """Return the labels of a region."""
    lists = [names for field, names in value.items() if field.endswith(LABEL_FIELD) and isinstance(names, list)]
    return [str(name) for names in lists for name in names]


def _regions(
    labels: Sequence[str], value: Mapping[str, Any], size: tuple[int, int] | None, skipped: Counter[str]
) -> Iterator[Region]:
    """Yield the region of each label of a result; count a result without an area that can be used."""
    regions = [region_of(label, value, size) for label in labels]
    if labels and None in regions:
        kind = next(field for field in value if field.endswith(LABEL_FIELD))
        skipped[f"regions of kind {kind}, of which only the label is used"] += 1
    yield from filter(None, regions)


def region_of(label: str, value: Mapping[str, Any], size: tuple[int, int] | None) -> Region | None:
    """Return the region of a result, whose coordinates are percents of the image's width and height.

    Args:
        label: the label of the region.
        value: the result's value.
        size: (width, height) of the image in pixels; None if the export does not give it.

    Returns:
        None for a result without an area, such as a key point, and for strokes and turned regions of an unknown size.
    """
    strokes, points = value.get("rle"), value.get("points")
    if isinstance(strokes, list):
        is_valid = size is not None and all(isinstance(number, int) for number in strokes)
        return Region(label, "mask", pixels=partial(decode_strokes, strokes, size)) if size and is_valid else None
    if isinstance(points, list):
        outline = [(float(x) / 100, float(y) / 100) for x, y in points]
        is_valid = all(isfinite(x) and isfinite(y) for x, y in outline)
        return Region(label, "polygon", [outline], relative=True) if is_valid else None
    degrees = float(value.get("rotation") or 0)
    if not isfinite(degrees) or (degrees and size is None):
        return None
    width, height = size or (1, 1)
    if axes := _shares(value, "x", "y", "radiusX", "radiusY"):
        x, y, half_width, half_height = axes
        # turned in pixels, because the sides of the image differ
        corners = ellipse_polygon(x * width, y * height, half_width * width, half_height * height, degrees)
        return Region(label, "polygon", [[(x / width, y / height) for x, y in corners]], relative=True)
    sides = _shares(value, "x", "y", "width", "height")
    return rectangle_region(label, sides, degrees, (width, height)) if sides else None


def _shares(value: Mapping[str, Any], *fields: str) -> tuple[float, float, float, float] | None:
    """Return four percents as shares; None if one is missing or no finite number."""
    numbers = [value.get(field) for field in fields]
    one, two, three, four = (
        number / 100 if isinstance(number, int | float) and isfinite(number) else None for number in numbers
    )
    return None if one is None or two is None or three is None or four is None else (one, two, three, four)


def rectangle_region(
    label: str, sides: tuple[float, float, float, float], degrees: float, size: tuple[int, int]
) -> Region:
    """Return the region of a rectangle, which Label Studio rotates clockwise about its upper left corner.

    Args:
        label: the label of the region.
        sides: its left, top, width and height, as shares of the image's width and height.
        degrees: by which it is rotated.
        size: (width, height) of the image in pixels.
    """
    left, top, width, height = sides
    if not degrees:
        return box(label, left, top, left + width, top + height, relative=True)
    image_width, image_height = size
    angle = radians(degrees)
    # the rectangle's upper and left edges as vectors in pixels
    upper = (width * image_width * cos(angle), width * image_width * sin(angle))
    side = (-height * image_height * sin(angle), height * image_height * cos(angle))
    corners = [(0.0, 0.0), upper, (upper[0] + side[0], upper[1] + side[1]), side]
    outline = [(left + x / image_width, top + y / image_height) for x, y in corners]
    return Region(label, "box", [outline], relative=True)


def decode_strokes(runs: Sequence[int], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the mask of brush strokes, (height, width).

    Label Studio packs the four channels of each pixel as run lengths (thi.ng/rle-pack). A header has the number of
    values (32 bits), the number of bits of a value less one (5 bits), and four numbers of bits of a run's length, less
    one (4 bits each). Each run has a bit that says whether its value is repeated, two bits that choose one of the four
    numbers of bits, its length less one, and then one value or all values.
    """
    width, height = size
    if not 0 < width * height <= PIXEL_LIMIT:
        return np.zeros((max(height, 0), max(width, 0)), np.bool_)
    bits = "".join(f"{int(byte) & 255:08b}" for byte in runs)
    position = 0

    def read_number(bit_count: int) -> int:
        nonlocal position
        position += bit_count
        return int(bits[position - bit_count : position] or "0", 2)

    value_count, value_bits = read_number(32), read_number(5) + 1
    length_bits = [read_number(4) + 1 for _ in range(4)]
    values = np.zeros(4 * width * height, np.uint8)
    filled = 0
    while filled < min(value_count, len(values)) and position < len(bits):
        is_repeated = read_number(1)
        count = min(read_number(length_bits[read_number(2)]) + 1, len(values) - filled)
        if is_repeated:
            values[filled : filled + count] = read_number(value_bits) & 255
        else:
            values[filled : filled + count] = [read_number(value_bits) & 255 for _ in range(count)]
        filled += count
    return np.asarray(values.reshape(height, width, 4)[..., 3] > 0)

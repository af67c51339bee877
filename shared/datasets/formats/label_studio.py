"""Label Studio: the JSON and JSON-MIN exports, with choices, rectangles, polygons, ellipses and brush strokes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from math import cos, radians, sin
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from shared.datasets.annotations import AnnotatedImage, Annotations, Region, box
from shared.datasets.formats.cvat import ellipse
from shared.datasets.formats.documents import head, read_json
from shared.datasets.image_files import IMAGES, is_image_like
from shared.datasets.tables import Place, Problem
from shared.imaging.codec import PIXEL_LIMIT

KIND: Final = "Label Studio"
SHAPES: Final = ("rectanglelabels", "polygonlabels", "ellipselabels", "brushlabels", "labels")
"""Fields of a marked place that hold its labels."""
MINIMAL: Final = frozenset({"id", "annotator", "annotation_id", "created_at", "updated_at", "lead_time"})
"""Fields of the JSON-MIN export that are about the annotation."""


class Result(BaseModel):
    """One thing that a person marked."""

    model_config = ConfigDict(extra="ignore")

    type: str = ""
    value: dict[str, Any] = {}
    original_width: int | None = Field(None, ge=0)
    original_height: int | None = Field(None, ge=0)


class TaskAnnotation(BaseModel):
    """What one person said about one image."""

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
        DatasetError: a file is no export.
    """
    labels: dict[str, None] = {}
    left_out: Counter[str] = Counter()
    problems: list[Problem] = []
    images = []
    for path in paths:
        tasks: list[dict[str, Any]] = read_json(path, list[dict[str, Any]], KIND)
        for index, task in enumerate(tasks, start=1):
            place = Place(path.relative_to(folder).as_posix(), index, "task")
            try:
                found = (
                    image_of_task(task, place, left_out, problems)
                    if "data" in task
                    else image_of_minimal(task, place, left_out)
                )
            except (ValueError, TypeError) as error:
                reason = str(error).splitlines()[0]
                problems.append(Problem(place, f"can't be read ({reason}): export it again", "unreadable"))
                left_out["tasks that can't be read"] += 1
                continue
            if found:
                labels |= dict.fromkeys(sorted(found.true - labels.keys()))
                images.append(found)
    is_exclusive = len(labels) > 1 and all(len(image.labels) == 1 and not image.regions for image in images)
    source = ", ".join(path.relative_to(folder).as_posix() for path in paths)
    return Annotations(KIND, source, tuple(labels), tuple(images), tuple(problems), left_out, exclusive=is_exclusive)


def _is_export(path: Path) -> bool:
    start = head(path).lstrip(b"\xef\xbb\xbf \t\r\n")
    return start.startswith(b"[") and (b'"data"' in start or b'"annotator"' in start or b'"annotation_id"' in start)


def image_of_task(
    task: dict[str, Any], place: Place, left_out: Counter[str], problems: list[Problem]
) -> AnnotatedImage | None:
    """Return the image of a task with the newest annotation of each kind; None without any annotation."""
    found = LabelTask.model_validate({**task, "annotations": task.get("annotations") or task.get("completions") or []})
    given = _image_of(found.data)
    if given is None:
        left_out["tasks without an image"] += 1
        return None
    done = [each for each in found.annotations if not each.was_cancelled]
    if not done:
        left_out["tasks without an annotation"] += 1
        return None
    read = [_annotated(given, each, place, left_out) for each in done]
    if any(each.true != read[0].true for each in read):
        text = f"{given}: {len(read)} annotations say different labels: keep one of them"
        problems.append(Problem(place, text, "different annotations"))
        left_out["images with different annotations"] += 1
        return None
    left_out["further annotations of the same labels"] += len(read) - 1
    return read[-1]


def _annotated(given: str, annotation: TaskAnnotation, place: Place, left_out: Counter[str]) -> AnnotatedImage:
    labels: set[str] = set()
    regions: list[Region] = []
    size = None
    for result in annotation.result:
        if result.original_width and result.original_height:
            size = (result.original_width, result.original_height)
        if isinstance(result.value.get("choices"), list):
            labels.update(str(choice) for choice in result.value["choices"])
            continue
        found = list(_regions(result.value, size))
        if not found and result.type:
            left_out[f"results of kind {result.type}"] += 1
        regions.extend(found)
    at = annotation.created_at
    return AnnotatedImage(
        given, place, frozenset(labels), tuple(regions), size,
        by=_person(annotation.completed_by), at=at if at is None or at.tzinfo else at.replace(tzinfo=UTC),
    )  # fmt: skip


def image_of_minimal(task: dict[str, Any], place: Place, left_out: Counter[str]) -> AnnotatedImage | None:
    """Return an image of the JSON-MIN export: its fields are the names of the controls."""
    given = _image_of(task)
    if given is None:
        left_out["tasks without an image"] += 1
        return None
    labels: set[str] = set()
    regions: list[Region] = []
    size = None
    for name, value in task.items():
        if name in MINIMAL or value == given:
            continue
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, str):
                labels.add(each)
            elif isinstance(each, dict) and isinstance(each.get("choices"), list):
                labels.update(str(choice) for choice in each["choices"])
            elif isinstance(each, dict):
                width, height = each.get("original_width"), each.get("original_height")
                size = (width, height) if isinstance(width, int) and isinstance(height, int) else size
                regions.extend(_regions(each, size))
    return AnnotatedImage(given, place, frozenset(labels), tuple(regions), size, by=_person(task.get("annotator")))


def _image_of(data: Mapping[str, Any]) -> str | None:
    """Return the image of a task: the first value that names one."""
    texts = [value for value in data.values() if isinstance(value, str)]
    found = next((text for text in texts if is_image_like(text)), None)
    return found and (found.partition("?d=")[2] or found).removeprefix(f"{IMAGES}/")


def _person(by: object) -> str | None:
    if isinstance(by, dict):
        by = by.get("email") or by.get("id")
    return str(by) if by is not None else None


def _regions(value: Mapping[str, Any], size: tuple[int, int] | None) -> Iterator[Region]:
    """Yield a region for each label of a marked place; coordinates are percents."""
    for label in [str(name) for key in SHAPES for name in value.get(key) or ()]:
        if isinstance(value.get("rle"), list) and size:
            yield Region(label, "mask", pixels=partial(strokes, value["rle"], size))
        elif isinstance(value.get("points"), list):
            outline = [(float(x) / 100, float(y) / 100) for x, y in value["points"]]
            yield Region(label, "polygon", [outline], relative=True)
        elif all(isinstance(value.get(name), int | float) for name in ("x", "y", "radiusX", "radiusY")):
            x, y, across, down = (float(value[name]) / 100 for name in ("x", "y", "radiusX", "radiusY"))
            yield Region(label, "polygon", [ellipse(x, y, across, down)], relative=True)
        elif all(isinstance(value.get(name), int | float) for name in ("x", "y", "width", "height")):
            yield rectangle(label, value, size)


def rectangle(label: str, value: Mapping[str, Any], size: tuple[int, int] | None) -> Region:
    """Return a rectangle, which Label Studio turns about its upper left corner."""
    left, top, width, height = (float(value[name]) / 100 for name in ("x", "y", "width", "height"))
    turned = float(value.get("rotation") or 0)
    if not turned:
        return box(label, left, top, left + width, top + height, relative=True)
    across, down = size or (1, 1)
    turn = radians(turned)
    along = (width * across * cos(turn), width * across * sin(turn))
    aside = (-height * down * sin(turn), height * down * cos(turn))
    corners = [(0.0, 0.0), along, (along[0] + aside[0], along[1] + aside[1]), aside]
    return Region(label, "box", [[(left + x / across, top + y / down) for x, y in corners]], relative=True)


def strokes(runs: Sequence[int], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the mask of brush strokes, (height, width).

    Label Studio packs the four channels of each pixel by run lengths (thi.ng/rle-pack): 32 bits of the number of
    values, 5 bits of the width of a value, 4 x 4 bits of the widths of lengths; then for each run a bit (1: the value
    is repeated), two bits that choose the width of its length, the length less one, and one value or all of them.
    """
    width, height = size
    if not 0 < width * height <= PIXEL_LIMIT:
        return np.zeros((max(height, 0), max(width, 0)), np.bool_)
    bits = "".join(f"{int(byte) & 255:08b}" for byte in runs)
    at = 0

    def take(count: int) -> int:
        nonlocal at
        at += count
        return int(bits[at - count : at] or "0", 2)

    total, word = take(32), take(5) + 1
    lengths = [take(4) + 1 for _ in range(4)]
    values = np.zeros(4 * width * height, np.uint8)
    done = 0
    while done < min(total, len(values)) and at < len(bits):
        repeated = take(1)
        count = min(take(lengths[take(2)]) + 1, len(values) - done)
        if repeated:
            values[done : done + count] = take(word) & 255
        else:
            values[done : done + count] = [take(word) & 255 for _ in range(count)]
        done += count
    return np.asarray(values.reshape(height, width, 4)[..., 3] > 0)

"""Datumaro's own format: one JSON file of items for each subset, in ``annotations/``, and ``images/<subset>/``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from shared.datasets.annotations import AnnotatedImage, Annotations, Region, box
from shared.datasets.formats.coco import RunLengths, mask_of_run_lengths
from shared.datasets.formats.cvat import ellipse_polygon
from shared.datasets.formats.documents import InvalidEntry, ListEntry, has_fields, read_json
from shared.datasets.tables import Place, Problem

KIND: Final = "Datumaro"


class _DatumaroModel(BaseModel):
    model_config = ConfigDict(extra="ignore")


class DatumaroLabel(_DatumaroModel):
    """A label; the annotations name it by its position in the list."""

    name: str


class DatumaroLabels(_DatumaroModel):
    """All labels."""

    labels: list[DatumaroLabel] = []


class DatumaroCategories(_DatumaroModel):
    """The labels that the annotations name by number."""

    label: DatumaroLabels = DatumaroLabels()


class DatumaroAnnotation(_DatumaroModel):
    """A label of a whole image, or of a region of it."""

    type: str
    label_id: int | None = None
    bbox: list[FiniteFloat] | None = None
    points: list[FiniteFloat] | None = None
    rle: RunLengths | None = None


class DatumaroImage(_DatumaroModel):
    """The file of an item."""

    path: Annotated[str, Field(max_length=1_000)] = ""
    size: tuple[int, int] | Literal[""] | None = None
    """Height, width."""


class DatumaroItem(_DatumaroModel):
    """An image with its annotations."""

    id: Annotated[str, Field(min_length=1, max_length=1_000)]
    image: DatumaroImage | None = None
    media: DatumaroImage | None = None
    annotations: list[DatumaroAnnotation] = []


class DatumaroFile(_DatumaroModel):
    """The whole file."""

    items: list[ListEntry[DatumaroItem] | InvalidEntry]
    categories: DatumaroCategories = DatumaroCategories()


def find_datumaro(folder: Path) -> list[Path]:
    """Return the files of all subsets."""
    paths = [path for name in ("annotations", "") for path in sorted((folder / name).glob("*.json"))]
    return [path for path in paths if has_fields(path, "items", "categories")]


def read_datumaro(paths: Sequence[Path], folder: Path) -> Annotations:
    """Read the files of all subsets; their labels are joined by name.

    Raises:
        DatasetError: a file is not in Datumaro's format.
    """
    labels: dict[str, None] = {}
    skipped: Counter[str] = Counter()
    problems: list[Problem] = []
    images = []
    for path in paths:
        document: DatumaroFile = read_json(path, DatumaroFile, KIND)
        names = [label.name for label in document.categories.label.labels]
        labels |= dict.fromkeys(names)
        for index, item in enumerate(document.items, start=1):
            place = Place(path.relative_to(folder).as_posix(), index, "item")
            if isinstance(item, InvalidEntry):
                problems.append(Problem(place, item.problem, "unreadable"))
                skipped["items that can't be read"] += 1
            else:
                images.append(
                    _annotated_image(item, names, place, subset=folder / "images" / path.stem, skipped=skipped)
                )
    source = ", ".join(path.relative_to(folder).as_posix() for path in paths)
    return Annotations(KIND, source, tuple(labels), tuple(images), tuple(problems), skipped)


def _annotated_image(
    item: DatumaroItem, names: Sequence[str], place: Place, *, subset: Path, skipped: Counter[str]
) -> AnnotatedImage:
    image = item.image or item.media or DatumaroImage()
    given = image.path or item.id
    if (subset / given).is_file():
        given = f"{subset.name}/{given}"
    labels: set[str] = set()
    regions: list[Region] = []
    for annotation in item.annotations:
        if annotation.label_id is None or not 0 <= annotation.label_id < len(names):
            skipped["annotations without a label that the file lists"] += 1
            continue
        label = names[annotation.label_id]
        labels.add(label)
        if region := region_of(annotation, label):
            regions.append(region)
        elif annotation.type != "label":
            skipped[f"shapes of kind {annotation.type} (only their label is used)"] += 1
    size = (image.size[1], image.size[0]) if image.size else None
    return AnnotatedImage(given, place, frozenset(labels), tuple(regions), size)


def region_of(annotation: DatumaroAnnotation, label: str) -> Region | None:
    """Return the region of an annotation; None for an annotation without an area."""
    bbox, points = annotation.bbox or [], annotation.points or []
    region = None
    if annotation.type == "bbox" and len(bbox) == 4:
        left, top, width, height = bbox
        region = box(label, left, top, left + width, top + height)
    elif annotation.type == "polygon" and points:
        region = Region(label, "polygon", [list(zip(points[::2], points[1::2], strict=False))])
    elif annotation.type == "ellipse" and len(points) == 4:
        left, top, right, bottom = points
        middle, axes = ((left + right) / 2, (top + bottom) / 2), ((right - left) / 2, (bottom - top) / 2)
        region = Region(label, "polygon", [ellipse_polygon(*middle, *axes)])
    elif annotation.type == "mask" and annotation.rle:
        region = Region(label, "mask", pixels=partial(mask_of_run_lengths, annotation.rle))
    return region

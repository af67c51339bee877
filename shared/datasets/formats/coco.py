"""COCO: one JSON file of images, categories and annotations (cocodataset.org, "data format")."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, FiniteFloat

from shared.datasets.annotations import AnnotatedImage, Annotations, BrokenRegion, Region, box
from shared.datasets.formats.documents import InvalidEntry, ListEntry, has_fields, read_json
from shared.datasets.tables import Place, Problem
from shared.imaging.codec import PIXEL_LIMIT

KIND: Final = "COCO"
FOLDERS: Final = ("", "annotations", "train", "valid", "val", "test")
"""Subfolders in which exports put the file."""


def id_text(value: object) -> object:
    """Return an id as text: files write the same id as 1, 1.0 or "1"."""
    return str(int(value)) if isinstance(value, int | float) and value == int(value) else value


def list_of_outlines(value: object) -> object:
    """Return a segmentation in COCO's form: some tools write a single outline without a list around it, or ``[]``."""
    if isinstance(value, list) and value and not isinstance(value[0], list):
        return [value]
    return value or None


Id = Annotated[str, BeforeValidator(id_text)]


class _CocoModel(BaseModel):
    model_config = ConfigDict(extra="ignore")


class CocoImage(_CocoModel):
    """An image."""

    id: Id
    file_name: Annotated[str, Field(min_length=1, max_length=1_000)]
    width: Annotated[int, Field(ge=0)] | None = None
    height: Annotated[int, Field(ge=0)] | None = None


class CocoCategory(_CocoModel):
    """A label."""

    id: Id
    name: str
    supercategory: str | None = None


class RunLengths(_CocoModel):
    """A mask as alternating numbers of pixels without and with the object, column by column."""

    counts: list[int] | str
    size: tuple[int, int]
    """Height, width."""


class CocoAnnotation(_CocoModel):
    """An object in an image."""

    image_id: Id
    category_id: Id
    bbox: list[FiniteFloat] | None = None
    segmentation: Annotated[list[list[FiniteFloat]] | RunLengths | None, BeforeValidator(list_of_outlines)] = None


class CocoFile(_CocoModel):
    """The whole file."""

    images: list[ListEntry[CocoImage] | InvalidEntry]
    annotations: list[ListEntry[CocoAnnotation] | InvalidEntry] = []
    categories: list[CocoCategory] = []


def find_coco(folder: Path) -> list[Path]:
    """Return the COCO files in all `FOLDERS` of a folder."""
    paths = [
        path
        for name in FOLDERS
        for path in sorted((folder / name).glob("*.json"))
        if has_fields(path, "images", "categories")
    ]
    return list(dict.fromkeys(paths))


def read_coco(paths: Sequence[Path], folder: Path) -> Annotations:
    """Read COCO files; their categories are joined by name.

    An image with an annotation that can't be read is left out: it may have another label than the others say.

    Raises:
        DatasetError: a file is not in COCO format.
    """
    images: list[AnnotatedImage] = []
    labels: dict[str, None] = {}
    skipped: Counter[str] = Counter()
    problems: list[Problem] = []
    for path in paths:
        file = path.relative_to(folder).as_posix()
        document: CocoFile = read_json(path, CocoFile, KIND)
        categories = label_categories(document)
        labels |= dict.fromkeys(categories.values())
        annotations_by_image: dict[Id, list[CocoAnnotation]] = defaultdict(list)
        incomplete_images = set()
        for index, annotation in enumerate(document.annotations, start=1):
            if isinstance(annotation, InvalidEntry):
                problems.append(Problem(Place(file, index, "annotation"), annotation.problem, "unreadable"))
                incomplete_images.add(id_text(annotation.field("image_id")))
            else:
                annotations_by_image[annotation.image_id].append(annotation)
        listed_images = {image.id for image in document.images if isinstance(image, CocoImage)}
        skipped["annotations of images that the file does not list"] += sum(
            len(annotations) for image_id, annotations in annotations_by_image.items() if image_id not in listed_images
        )
        prefix = image_prefix(path, folder)
        for index, image in enumerate(document.images, start=1):
            place = Place(file, index, "image")
            if isinstance(image, InvalidEntry):
                problems.append(Problem(place, image.problem, "unreadable"))
                skipped["images whose entry can't be read"] += 1
            elif image.id in incomplete_images:
                skipped["images with an annotation that can't be read"] += 1
            else:
                annotations = annotations_by_image[image.id]
                images.append(_annotated_image(image, annotations, categories, place, prefix=prefix, skipped=skipped))
    source = ", ".join(path.relative_to(folder).as_posix() for path in paths)
    return Annotations(KIND, source, tuple(labels), tuple(images), tuple(problems), skipped)


def image_prefix(path: Path, folder: Path) -> str:
    """Return the path from the dataset's folder to the folder to which the file names in a COCO file are relative.

    File names are relative to the folder of the COCO file; if that is ``annotations``, to the dataset's folder.
    """
    parent = path.parent.relative_to(folder) if path.parent.is_relative_to(folder) else Path()
    return "" if parent.name in ("", "annotations") else f"{parent.as_posix()}/"


def label_categories(document: CocoFile) -> dict[Id, str]:
    """Return the names of categories by id.

    A category that is only the supercategory of others is left out. Roboflow writes one.
    """
    used = {annotation.category_id for annotation in document.annotations if isinstance(annotation, CocoAnnotation)}
    supercategories = {category.supercategory for category in document.categories}
    return {
        category.id: category.name
        for category in document.categories
        if category.id in used or category.name not in supercategories
    }


def _annotated_image(
    image: CocoImage,
    annotations: Sequence[CocoAnnotation],
    categories: dict[Id, str],
    place: Place,
    *,
    prefix: str,
    skipped: Counter[str],
) -> AnnotatedImage:
    size = (image.width, image.height) if image.width and image.height else None
    labels: set[str] = set()
    regions: list[Region] = []
    for annotation in annotations:
        label = categories.get(annotation.category_id)
        if label is None:
            skipped["annotations of categories that the file does not list"] += 1
            continue
        labels.add(label)
        region = region_of(annotation, label)
        if region:
            regions.append(region)
    return AnnotatedImage(prefix + image.file_name, place, frozenset(labels), tuple(regions), size)


def region_of(annotation: CocoAnnotation, label: str) -> Region | None:
    """Return the region of an object; None if the annotation is about the whole image."""
    segmentation = annotation.segmentation
    if isinstance(segmentation, RunLengths):
        return Region(label, "mask", pixels=partial(mask_of_run_lengths, segmentation))
    if segmentation:
        outlines = [list(zip(polygon[::2], polygon[1::2], strict=False)) for polygon in segmentation]
        return Region(label, "polygon", outlines)
    if annotation.bbox and len(annotation.bbox) == 4:
        left, top, width, height = annotation.bbox
        return box(label, left, top, left + width, top + height)
    return None


def mask_of_run_lengths(runs: RunLengths) -> NDArray[np.bool_]:
    """Return a mask, (height, width).

    Raises:
        BrokenRegion: the run lengths are not those of a mask.
    """
    height, width = runs.size
    if height < 1 or width < 1 or height * width > PIXEL_LIMIT:
        raise BrokenRegion(f"a mask of {width} x {height} pixels, which no image has: export it again")
    counts = decode_run_lengths(runs.counts) if isinstance(runs.counts, str) else runs.counts
    if any(count < 0 for count in counts) or sum(counts) != height * width:
        raise BrokenRegion(f"the runs of a mask don't add up to its {width} x {height} pixels")
    values = np.arange(len(counts)) % 2 == 1
    return np.repeat(values, counts).reshape(width, height).T


def decode_run_lengths(text: str) -> list[int]:
    """Return the run lengths that COCO's tools write as text.

    Each character has an offset of 48, five bits of a number, the lowest first, and a bit that says whether the number
    continues. The first three numbers are run lengths; each later number is the difference to the run length two before
    it.
    """
    counts: list[int] = []
    position = 0
    while position < len(text):
        value, shift, continues = 0, 0, True
        while continues and position < len(text) and shift < 40:  # 40 bits: hostile text makes no huge numbers
            bits = ord(text[position]) - 48
            value |= (bits & 0x1F) << shift
            continues = bool(bits & 0x20)
            position, shift = position + 1, shift + 5
            if not continues and bits & 0x10:  # the highest bit of the last character is the sign
                value |= -1 << shift
        if len(counts) > 2:
            value += counts[-2]
        counts.append(value)
    return counts

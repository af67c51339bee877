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

from shared.datasets.annotations import AnnotatedImage, Annotations, Region, box
from shared.datasets.formats.documents import Damaged, Each, names_fields, read_json
from shared.datasets.tables import DatasetError, Place, Problem
from shared.imaging.codec import PIXEL_LIMIT

KIND: Final = "COCO"
FOLDERS: Final = ("", "annotations", "train", "valid", "val", "test")
"""Where exports put the file."""


def written_id(value: object) -> object:
    """Return an id as text: files name one image by 1, 1.0 and "1"."""
    return str(int(value)) if isinstance(value, int | float) and value == int(value) else value


def outlines_of(value: object) -> object:
    """Return the outlines of an object, which some tools write as one list or as something empty."""
    if isinstance(value, list) and value and not isinstance(value[0], list):
        return [value]
    return value or None


Id = Annotated[str, BeforeValidator(written_id)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore")


class CocoImage(_Part):
    """An image."""

    id: Id
    file_name: Annotated[str, Field(min_length=1, max_length=1_000)]
    width: Annotated[int, Field(ge=0)] | None = None
    height: Annotated[int, Field(ge=0)] | None = None


class CocoCategory(_Part):
    """A label."""

    id: Id
    name: str
    supercategory: str | None = None


class RunLengths(_Part):
    """A mask as alternating numbers of pixels without and with the object, column by column."""

    counts: list[int] | str
    size: tuple[int, int]
    """Height, width."""


class CocoAnnotation(_Part):
    """An object in an image."""

    image_id: Id
    category_id: Id
    bbox: list[FiniteFloat] | None = None
    segmentation: Annotated[list[list[FiniteFloat]] | RunLengths | None, BeforeValidator(outlines_of)] = None


class CocoFile(_Part):
    """The whole file."""

    images: list[Each[CocoImage] | Damaged]
    annotations: list[Each[CocoAnnotation] | Damaged] = []
    categories: list[CocoCategory] = []


def find_coco(folder: Path) -> list[Path]:
    """Return the COCO files of a folder, in each of `FOLDERS`."""
    found = [
        path
        for name in FOLDERS
        for path in sorted((folder / name).glob("*.json"))
        if names_fields(path, "images", "categories")
    ]
    return list(dict.fromkeys(found))


def read_coco(paths: Sequence[Path], folder: Path) -> Annotations:
    """Read COCO files; their categories are joined by name.

    An image with an annotation that can't be read is left out: it may have another label than the others say.

    Raises:
        DatasetError: a file is no COCO.
    """
    images: list[AnnotatedImage] = []
    labels: dict[str, None] = {}
    left_out: Counter[str] = Counter()
    problems: list[Problem] = []
    for path in paths:
        file = path.relative_to(folder).as_posix()
        document: CocoFile = read_json(path, CocoFile, KIND)
        categories = label_categories(document)
        labels |= dict.fromkeys(categories.values())
        of_image: dict[Id, list[CocoAnnotation]] = defaultdict(list)
        spoilt = set()
        for index, each in enumerate(document.annotations, start=1):
            if isinstance(each, Damaged):
                problems.append(Problem(Place(file, index, "annotation"), each.problem, "unreadable"))
                spoilt.add(written_id(each.field("image_id")))
            else:
                of_image[each.image_id].append(each)
        known = {image.id for image in document.images if isinstance(image, CocoImage)}
        left_out["annotations of images that the file does not list"] += sum(
            len(each) for image_id, each in of_image.items() if image_id not in known
        )
        inside = path.parent.relative_to(folder) if path.parent.is_relative_to(folder) else Path()
        prefix = f"{inside.as_posix()}/" if inside.name not in ("", "annotations") else ""
        for index, image in enumerate(document.images, start=1):
            place = Place(file, index, "image")
            if isinstance(image, Damaged):
                problems.append(Problem(place, image.problem, "unreadable"))
                left_out["images whose entry can't be read"] += 1
            elif image.id in spoilt:
                left_out["images with an annotation that can't be read"] += 1
            else:
                annotations = of_image[image.id]
                images.append(_annotated(image, annotations, categories, place, prefix=prefix, left_out=left_out))
    source = ", ".join(path.relative_to(folder).as_posix() for path in paths)
    return Annotations(KIND, source, tuple(labels), tuple(images), tuple(problems), left_out)


def label_categories(document: CocoFile) -> dict[Id, str]:
    """Return the names of categories by id, without those that only stand above others (as Roboflow writes)."""
    used = {annotation.category_id for annotation in document.annotations if isinstance(annotation, CocoAnnotation)}
    above = {category.supercategory for category in document.categories}
    return {each.id: each.name for each in document.categories if each.id in used or each.name not in above}


def _annotated(
    image: CocoImage,
    annotations: Sequence[CocoAnnotation],
    categories: dict[Id, str],
    place: Place,
    *,
    prefix: str,
    left_out: Counter[str],
) -> AnnotatedImage:
    size = (image.width, image.height) if image.width and image.height else None
    labels: set[str] = set()
    regions: list[Region] = []
    for each in annotations:
        label = categories.get(each.category_id)
        if label is None:
            left_out["annotations of categories that the file does not list"] += 1
            continue
        labels.add(label)
        region = region_of(each, label, place)
        if region:
            regions.append(region)
    return AnnotatedImage(prefix + image.file_name, place, frozenset(labels), tuple(regions), size)


def region_of(annotation: CocoAnnotation, label: str, place: Place) -> Region | None:
    """Return the place of an object; None if the annotation is about the whole image."""
    segmentation = annotation.segmentation
    if isinstance(segmentation, RunLengths):
        return Region(label, "mask", pixels=partial(pixels_of, segmentation, place))
    if segmentation:
        outlines = [list(zip(each[::2], each[1::2], strict=False)) for each in segmentation]
        return Region(label, "polygon", outlines)
    if annotation.bbox and len(annotation.bbox) == 4:
        left, top, width, height = annotation.bbox
        return box(label, left, top, left + width, top + height)
    return None


def pixels_of(runs: RunLengths, place: Place) -> NDArray[np.bool_]:
    """Return a mask, (height, width)."""
    height, width = runs.size
    if not 0 < height * width <= PIXEL_LIMIT or min(height, width) < 0:
        raise DatasetError([f"{place}: a mask of {width} x {height} pixels, which no image has: export it again"])
    counts = run_lengths(runs.counts) if isinstance(runs.counts, str) else runs.counts
    if any(count < 0 for count in counts) or sum(counts) != height * width:
        raise DatasetError([f"{place}: the runs of a mask don't add up to its {width} x {height} pixels"])
    values = np.arange(len(counts)) % 2 == 1
    return np.repeat(values, counts).reshape(width, height).T


def run_lengths(text: str) -> list[int]:
    """Return the run lengths that COCO's tools write as text: six bits a character, differences from the fourth on."""
    counts: list[int] = []
    at = 0
    while at < len(text):
        value, shift, more = 0, 0, True
        while more and at < len(text) and shift < 40:
            bits = ord(text[at]) - 48
            value |= (bits & 0x1F) << shift
            more = bool(bits & 0x20)
            at, shift = at + 1, shift + 5
            if not more and bits & 0x10:
                value |= -1 << shift
        if len(counts) > 2:
            value += counts[-2]
        counts.append(value)
    return counts

"""Write a dataset version as COCO or Label Studio, so that other tools read it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.contracts.dataset import DatasetVersion, LabelledImage, get_image
from shared.datasets.image_files import IMAGES
from shared.datasets.labelled_images import GROUPS
from shared.datasets.mask_files import mask_name
from shared.datasets.tables import table_bytes
from shared.imaging.codec import decode
from shared.label_names import IMAGE_COLUMN
from shared.storage.port import ObjectStore

COCO_FILE: Final = "annotations.json"
LABEL_STUDIO_FILE: Final = "label-studio.json"
LABEL_STUDIO_CONFIG: Final = "label-studio.xml"
COMBINED_MASKS: Final = "masks of several labels together, which these formats don't have"
OF_NO_LABEL: Final = "masks of labels that the image does not have"
JOINED: Final = "masks that are part of another mask of their label"
EMPTY: Final = "masks without a marked pixel"
HOLES: Final = "holes of masks"
UNUSED: Final = "labels that no image has"
PEOPLE: Final = "names and times of those who labelled an image"


class ExportFormat(StrEnum):
    """The formats in which a version is written."""

    SEAMLINE = "seamline"
    COCO = "coco"
    LABEL_STUDIO = "label-studio"


@dataclass(frozen=True, eq=False)
class OpenedImage:
    """An image of a version with its size and its masks."""

    image: LabelledImage
    width: int
    height: int
    labels: tuple[str, ...]
    """The labels that the image has."""
    masks: Mapping[str, NDArray[np.bool_]]
    """The masks by label, each (height, width)."""


@dataclass
class ExportCount:
    """The numbers of images, labels and masks that were written, and of what was left out."""

    images: int = 0
    labels: int = 0
    masks: int = 0
    skipped: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        skipped = "".join(f"; left out: {name}: {count}" for name, count in self.skipped.items() if count)
        return f"{self.images} images with {self.labels} labels and {self.masks} masks{skipped}"


def export_version_as(format_: ExportFormat, version: DatasetVersion, store: ObjectStore, folder: Path) -> ExportCount:
    """Write the images of a version and their annotations into a folder, with ``groups.csv``.

    Raises:
        DatasetVersionError: an image or a mask is missing or has changed.
        StorageError: object storage failed.
    """
    count = ExportCount()
    folder.mkdir(parents=True, exist_ok=True)
    WRITERS[format_](version, write_images(version, store, folder, count), folder, count)
    rows = [(each.name, each.group) for each in version.images]
    (folder / GROUPS).write_bytes(table_bytes((IMAGE_COLUMN, "group"), rows))
    return count


def write_images(
    version: DatasetVersion, store: ObjectStore, folder: Path, count: ExportCount
) -> Iterator[OpenedImage]:
    """Write each image, and yield it with its masks."""
    for image in version.images:
        content = get_image(store, version, image.name, image.digest)
        path = folder / IMAGES / image.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        height, width = decode(content).shape[:2]
        labels = tuple(name for name, value in zip(version.label_names, image.labels, strict=True) if value)
        masks: dict[str, NDArray[np.bool_]] = {}
        names = {mask_name(image.name, label): label for label in version.label_names}
        for mask, digest in image.masks.items():
            label = names.get(mask) or (labels[0] if mask == mask_name(image.name) and len(labels) == 1 else None)
            pixels = np.asarray(decode(get_image(store, version, mask, digest))[..., 0] > 127)
            if label is None:
                count.skipped[COMBINED_MASKS] += 1
            elif label not in labels:
                count.skipped[OF_NO_LABEL] += 1
            elif not pixels.any():
                count.skipped[EMPTY] += 1
            else:
                count.skipped[JOINED] += label in masks
                masks[label] = pixels | masks[label] if label in masks else pixels
        count.images += 1
        count.labels += len(labels)
        count.masks += len(masks)
        yield OpenedImage(image, width, height, labels, masks)


def write_coco(version: DatasetVersion, images: Iterator[OpenedImage], folder: Path, count: ExportCount) -> None:
    """Write ``annotations.json``; a label without a mask is an annotation without a box."""
    ids = {name: number for number, name in enumerate(version.label_names, start=1)}
    listed: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, each in enumerate(images, start=1):
        name = each.image.name
        listed.append({"id": number, "file_name": name, "width": each.width, "height": each.height})
        count.skipped[PEOPLE] += each.image.labelled_by is not None
        for label in each.labels:
            region = coco_region(each.masks[label]) if label in each.masks else WHOLE_IMAGE
            annotations.append({"id": len(annotations) + 1, "image_id": number, "category_id": ids[label], **region})
    document = {
        "info": {"description": version.reference, "date_created": version.made_at.isoformat()},
        "images": listed,
        "categories": [{"id": number, "name": name} for name, number in ids.items()],
        "annotations": annotations,
    }
    (folder / COCO_FILE).write_text(json.dumps(document, ensure_ascii=False, indent=1), encoding="utf-8")


WHOLE_IMAGE: Final[dict[str, Any]] = {"bbox": [], "segmentation": [], "area": 0, "iscrowd": 0}
"""The fields of a label that has no mask."""


def coco_region(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """Return the fields of a mask: polygons, or run lengths if polygons would lose holes or thin parts."""
    outlines = outlines_of(mask)
    left, top, width, height = cv2.boundingRect(mask.astype(np.uint8))
    fields: dict[str, Any] = {"bbox": [left, top, width, height], "area": int(mask.sum()), "iscrowd": 0}
    if outlines is not None:
        return {**fields, "segmentation": [[float(value) for point in each for value in point] for each in outlines]}
    flat = mask.T.reshape(-1)
    ends = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff([0, *ends, len(flat)]).tolist()
    counts = [0, *counts] if flat[0] else counts
    return {**fields, "iscrowd": 1, "segmentation": {"size": list(mask.shape), "counts": counts}}


def outlines_of(mask: NDArray[np.bool_]) -> list[list[tuple[int, int]]] | None:
    """Return the polygons whose area is a mask; None if polygons would lose its holes or thin parts."""
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    filled = np.zeros(mask.shape, np.uint8)
    cv2.fillPoly(filled, contours, [1])
    large = all(len(each) >= 3 for each in contours)
    if not large or not np.array_equal(filled > 0, mask):
        return None
    return [[(int(x), int(y)) for x, y in each[:, 0]] for each in contours]


def write_label_studio(
    version: DatasetVersion, images: Iterator[OpenedImage], folder: Path, count: ExportCount
) -> None:
    """Write the tasks with their annotations, and the configuration of a project that shows them."""
    tasks = []
    unused = set(version.label_names)
    for number, each in enumerate(images, start=1):
        unused.difference_update(each.labels)
        size = {"original_width": each.width, "original_height": each.height, "image_rotation": 0}
        common = {"to_name": "image", **size}
        result: list[dict[str, Any]] = []
        whole = [label for label in each.labels if label not in each.masks]
        if whole:
            result.append({**common, "from_name": "labels", "type": "choices", "value": {"choices": whole}})
        for label, mask in each.masks.items():
            for outline in outer_outlines(mask, count):
                points = [[100 * x / each.width, 100 * y / each.height] for x, y in outline]
                value = {"points": points, "polygonlabels": [label], "closed": True}
                result.append({**common, "from_name": "regions", "type": "polygonlabels", "value": value})
        for place, entry in enumerate(result):
            entry["id"] = f"{number}-{place}"
        annotation: dict[str, Any] = {"result": result, "was_cancelled": False}
        if each.image.labelled_by:
            annotation["completed_by"] = {"email": each.image.labelled_by}
        if each.image.labelled_at:
            annotation["created_at"] = each.image.labelled_at.isoformat()
        address = f"/data/local-files/?d={quote(f'{IMAGES}/{each.image.name}')}"
        tasks.append({"id": number, "data": {"image": address}, "annotations": [annotation]})
    count.skipped[UNUSED] = len(unused)
    text = json.dumps(tasks, ensure_ascii=False, indent=1)
    (folder / LABEL_STUDIO_FILE).write_text(text, encoding="utf-8")
    (folder / LABEL_STUDIO_CONFIG).write_text(label_config(version.label_names), encoding="utf-8")


def outer_outlines(mask: NDArray[np.bool_], count: ExportCount) -> list[list[tuple[int, int]]]:
    """Return the outlines of a mask without its holes; a part of one or two pixels in a row becomes a triangle."""
    contours, hierarchy = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    outer = [each for each, of in zip(contours, hierarchy[0] if len(contours) else (), strict=True) if of[3] < 0]
    count.skipped[HOLES] += len(contours) - len(outer)
    outlines = [[(int(x), int(y)) for x, y in each[:, 0]] for each in outer]
    return [outline if len(outline) >= 3 else (outline * 3)[:3] for outline in outlines]


def label_config(label_names: Sequence[str]) -> str:
    """Return the XML of Label Studio's labelling interface for labels."""
    choices = "".join(f"    <Choice value={quoteattr(name)}/>\n" for name in label_names)
    labels = "".join(f"    <Label value={quoteattr(name)}/>\n" for name in label_names)
    return (
        '<View>\n  <Image name="image" value="$image"/>\n'
        f'  <Choices name="labels" toName="image" choice="multiple">\n{choices}  </Choices>\n'
        f'  <PolygonLabels name="regions" toName="image">\n{labels}  </PolygonLabels>\n</View>\n'
    )


Writer = Callable[[DatasetVersion, Iterator[OpenedImage], Path, ExportCount], None]
WRITERS: Final[Mapping[ExportFormat, Writer]] = {
    ExportFormat.COCO: write_coco,
    ExportFormat.LABEL_STUDIO: write_label_studio,
}

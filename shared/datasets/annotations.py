"""The annotations of other tools in one form for all formats, and the dataset that is made from them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.datasets.image_files import ImageFile, NoSuchImage
from shared.datasets.labelled_images import (
    Dataset,
    Example,
    FolderIndex,
    NameDifferences,
    OnProblem,
    build_dataset,
    normalise_labels,
    not_exclusive_message,
    repeated_image,
)
from shared.datasets.mask_files import mask_name
from shared.datasets.scratch import scratch_folder
from shared.datasets.tables import DatasetError, Place, Problem
from shared.imaging.codec import PIXEL_LIMIT, UnreadableImage, as_jpeg_or_png, encode, size_of
from shared.label_names import label_name, same_label
from shared.recipe import Task

AUGMENTED_COPY: Final = ".rf."
"""The text that Roboflow writes between the name of an image and the number of its augmented copy."""

Points = Sequence[tuple[float, float]]
"""x, y in pixels."""
RegionKind = Literal["box", "polygon", "mask"]
SKIPPED_IMAGES: Final = {
    "no image": "images whose file is not there",
    "exclusive": "images without exactly one label",
    "is listed twice": "images that are listed twice",
    "has other labels": "images that are listed with different labels",
    "broken mask": "images with a mask that can't be drawn",
}
"""What is skipped, by the cause of the problem."""
PLURALS: Final = {"image": "images", "label": "labels", "box": "boxes", "polygon": "polygons", "mask": "masks"}


class BrokenRegion(ValueError):
    """A region can't be drawn; the message says why."""


@dataclass(frozen=True, eq=False)
class Region:
    """A region of an image that has a label."""

    label: str
    kind: RegionKind
    outlines: Sequence[Points] = ()
    """Polygons; an upright box is given by two corners."""
    pixels: Callable[[], NDArray[np.bool_]] | None = None
    """Return the region as a mask of the image, (height, width); None if outlines give the region."""
    relative: bool = False
    """Whether the points are shares of the image's width and height."""


@dataclass(frozen=True, eq=False)
class AnnotatedImage:
    """One image with its labels and regions."""

    given: str
    """The image's name as the annotations write it."""
    place: Place
    labels: frozenset[str] = frozenset()
    """Labels of the whole image; those of its regions need not be among them."""
    regions: tuple[Region, ...] = ()
    size: tuple[int, int] | None = None
    """Width and height in pixels; None if the annotations do not say them."""
    by: str | None = None
    at: datetime | None = None
    masks: Mapping[str | None, Path] = field(default_factory=dict)
    """Files of masks by label; the key None is the mask of all defects."""

    @property
    def all_labels(self) -> set[str]:
        """The labels of the whole image and of its regions."""
        return {*self.labels, *(region.label for region in self.regions)}


@dataclass(frozen=True, eq=False)
class Annotations:
    """The content of an export of another tool."""

    kind: str
    """The name of the format."""
    source: str
    """The file or folder that holds it."""
    labels: tuple[str, ...]
    images: tuple[AnnotatedImage, ...]
    problems: tuple[Problem, ...] = ()
    skipped: Mapping[str, int] = field(default_factory=dict)
    """How many entries were left out, by their description, such as `boxes without an area in the image`."""
    exclusive: bool = False
    """Whether the format gives each image exactly one label."""


def dataset_of_annotations(
    annotations: Annotations,
    folder: Path,
    label_names: Sequence[str] = (),
    *,
    task: Task | None = None,
    on_problem: OnProblem = "stop",
) -> Dataset:
    """Find the images of annotations, and write masks of their regions.

    Args:
        annotations: the annotations.
        folder: the folder that holds the images, and perhaps ``groups.csv``.
        label_names: the labels of the recipe, in its order; empty: the labels of the annotations.
        task: exclusive: exactly one label of each image must be true; None: as the annotations say.
        on_problem: what happens to an image that can't be used.

    Raises:
        DatasetError: a label of the recipe is missing, no image is left, or (``stop``) there is a problem.
    """
    source = annotations.source
    top = Place(source, 1, "entry")
    given_labels = normalise_labels(annotations.labels, top)
    spellings: dict[str, str] = {}
    for label in given_labels:
        spellings.setdefault(label.casefold(), label)
    names = tuple(label_names) or tuple(spellings.values())
    if not names:
        raise DatasetError(
            [*annotations.problems, f"{source}: no image has a label: label some, and export them again"]
        )
    recipe_labels = {label: same_label(label, names) for label in given_labels}
    if missing := [name for name in names if name not in recipe_labels.values()]:
        given_text = ", ".join(given_labels) or "–"
        raise DatasetError([f"{source}: there is no label {', '.join(missing)}: its labels are {given_text}"])
    problems = [*annotations.problems]
    if unknown := [label for label, name in recipe_labels.items() if name is None]:
        text = f"{source}: the recipe has no label {', '.join(unknown)}: add it to the recipe"
        problems.append(Problem(top, text))
    if task is None:
        task = Task.EXCLUSIVE if annotations.exclusive and len(names) > 1 else Task.MULTI_LABEL
    labels_of = {label: recipe_labels[label_name(label)] for label in annotations.labels}
    builder = _Builder(annotations, FolderIndex(folder), names, labels_of, exclusive=task is Task.EXCLUSIVE)
    for image in annotations.images:
        builder.add(image)
    merged = [] if label_names else [label for label in given_labels if label not in names]
    spelling_note = f"labels that differ from another in capitals alone are taken for it: {', '.join(merged)}"
    warnings = [
        builder.summary(),
        *([spelling_note] if merged else []),
        *builder.differences.warnings,
        *builder.index.warnings([*builder.examples.values()]),
    ]
    return build_dataset(
        names,
        builder.examples.values(),
        [*problems, *builder.problems, *builder.index.problems],
        warnings,
        folder=folder,
        on_problem=on_problem,
        task=task,
    )


class _Builder:
    """Collects the examples of annotations, and counts what is skipped."""

    def __init__(
        self,
        annotations: Annotations,
        index: FolderIndex,
        names: tuple[str, ...],
        labels_of: Mapping[str, str | None],
        *,
        exclusive: bool,
    ) -> None:
        self.examples: dict[str, Example] = {}
        self.problems: list[Problem] = []
        self.differences = NameDifferences()
        self.index = index
        self._annotations = annotations
        self._names = names
        self._labels_of = labels_of
        self._exclusive = exclusive
        self._drawn_regions: Counter[RegionKind] = Counter()
        self._skipped = Counter(annotations.skipped)
        self._mask_folder: Path | None = None
        self._mask_count = 0

    def add(self, image: AnnotatedImage) -> None:
        """Add an image, or the problem that it has."""
        try:
            file = self.index.files.find(image.given)
        except NoSuchImage as error:
            self._refuse(image, str(error), "no image")
            return
        image_labels = {self._labels_of.get(label) for label in image.all_labels}
        labels = tuple(name in image_labels for name in self._names)
        if self._exclusive and (wrong := not_exclusive_message(self._names, labels)):
            self._refuse(image, f"{file.name}: {wrong}", "exclusive")
            return
        if earlier := self.examples.get(file.name):
            self._refuse(image, *repeated_image(earlier, labels))
            return
        try:
            masks = tuple(self._masks(image, file))
        except BrokenRegion as error:
            self._refuse(image, f"{file.name}: {error}", "broken mask")
            return
        self.differences.note(image.given, file, image.place)
        labelled_by, labelled_at = self.index.labelled(file.name)
        self.examples[file.name] = Example(
            file.name,
            file.path,
            labels,
            self.index.group(file.name) or group_of_copies(file.name),
            image.place,
            image.by or labelled_by,
            image.at or labelled_at,
            masks,
            unknown=tuple(sorted(label for label in image.all_labels if self._labels_of.get(label) is None)),
        )

    def summary(self) -> str:
        """Return how many images, labels and regions the annotations have, how many are used, and what is left out."""
        source = self._annotations
        given_regions = self._region_counts(source.images)
        given = [count_phrase(len(source.images), "image"), count_phrase(len(source.labels), "label")]
        given += [count_phrase(count, kind) for kind, count in given_regions.items()]
        used = [count_phrase(len(self.examples), "image")]
        used += [count_phrase(self._drawn_regions[kind], kind) for kind in given_regions]
        skipped = [f"{description}: {count}" for description, count in self._skipped.items() if count]
        difference = f"; left out: {', '.join(skipped)}" if skipped else ""
        return f"{source.kind} ({source.source}): {', '.join(given)}; used: {', '.join(used)}{difference}"

    @staticmethod
    def _region_counts(images: Iterable[AnnotatedImage]) -> Counter[RegionKind]:
        return Counter(region.kind for image in images for region in image.regions)

    def _refuse(self, image: AnnotatedImage, text: str, cause: str) -> None:
        self.problems.append(Problem(image.place, text, cause))
        self._skipped[SKIPPED_IMAGES[cause]] += 1
        for kind, count in self._region_counts([image]).items():
            self._skipped[f"{PLURALS[kind]} of images that were left out"] += count

    def _masks(self, image: AnnotatedImage, file: ImageFile) -> Iterable[tuple[str, Path]]:
        """Write the regions of an image as masks, one for each label; add the masks of the folder."""
        masks = dict(self.index.masks.of(file.name, self._names))
        for label, path in image.masks.items():
            masks[mask_name(file.name, label if label is None else self._labels_of.get(label))] = path
        if image.regions:
            try:
                width, height = image.size or size_of(as_jpeg_or_png(file.path.read_bytes()))
            except (OSError, UnreadableImage):
                width = height = 0
            if not 0 < width * height <= PIXEL_LIMIT:
                self._skipped["regions of images whose size is not known"] += len(image.regions)
                return masks.items()
            for label, canvas in self._draw_masks(image, width, height).items():
                masks[mask_name(file.name, label)] = self._write(canvas)
        return masks.items()

    def _draw_masks(self, image: AnnotatedImage, width: int, height: int) -> dict[str, NDArray[np.uint8]]:
        """Return the mask of each label, (height, width), 0 or 255."""
        masks: dict[str, NDArray[np.uint8]] = {}
        for region in image.regions:
            label = self._labels_of.get(region.label)
            if label is None:
                self._skipped[f"{PLURALS[region.kind]} of labels that the recipe lacks"] += 1
                continue
            canvas = np.zeros((height, width), np.uint8)
            draw(region, canvas)
            if not canvas.any():
                self._skipped[f"{PLURALS[region.kind]} without an area in the image"] += 1
                continue
            self._drawn_regions[region.kind] += 1
            masks[label] = np.maximum(masks[label], canvas) if label in masks else canvas
        return masks

    def _write(self, canvas: NDArray[np.uint8]) -> Path:
        self._mask_folder = self._mask_folder or scratch_folder()
        self._mask_count += 1
        path = self._mask_folder / f"{self._mask_count:08d}.png"
        path.write_bytes(encode(canvas, "png"))
        return path


def draw(region: Region, canvas: NDArray[np.uint8]) -> None:
    """Fill a region with 255.

    Args:
        region: the region.
        canvas: (height, width) of the image.
    """
    height, width = canvas.shape
    if region.pixels is not None:
        pixels = region.pixels()
        if pixels.shape == canvas.shape:
            canvas[pixels] = 255
        return
    scale = (width, height) if region.relative else (1, 1)
    for outline in region.outlines:
        points = np.clip(np.array(outline, np.float64) * scale, -width - height, 2 * (width + height))
        if region.kind == "box" and len(outline) == 2:
            (left, top), (right, bottom) = points
            rows = slice(max(round(top), 0), max(round(bottom), 0))
            columns = slice(max(round(left), 0), max(round(right), 0))
            canvas[rows, columns] = 255
        elif len(outline) >= 3:
            cv2.fillPoly(canvas, [np.round(points).astype(np.int32)], 255)


def box(label: str, left: float, top: float, right: float, bottom: float, *, relative: bool = False) -> Region:
    """Return a box by two of its corners."""
    return Region(label, "box", [[(left, top), (right, bottom)]], relative=relative)


def group_of_copies(name: str) -> str:
    """Return the group of an image without ``groups.csv``.

    The group is the image of which Roboflow made an augmented copy; any other image is its own group.
    """
    return name.partition(AUGMENTED_COPY)[0] if AUGMENTED_COPY in name else name


def count_phrase(count: int, noun: str) -> str:
    """Return a number with its noun, such as `2 boxes`."""
    return f"{count} {noun if count == 1 else PLURALS[noun]}"

"""What other tools say about images, in one form for all formats, and the dataset that is made of it."""

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
    Differences,
    Example,
    FolderTables,
    OnProblem,
    checked_labels,
    finished,
    not_exclusive,
)
from shared.datasets.mask_files import mask_name
from shared.datasets.scratch import scratch_folder
from shared.datasets.tables import DatasetError, Place, Problem
from shared.imaging.codec import PIXEL_LIMIT, UnreadableImage, as_jpeg_or_png, encode, size_of
from shared.label_names import label_name, same_label
from shared.recipe import Task

AUGMENTED: Final = ".rf."
"""What Roboflow writes between the name of an image and the number of its augmented copy."""

Points = Sequence[tuple[float, float]]
"""x, y in pixels."""
RegionKind = Literal["box", "polygon", "mask"]
PLURALS: Final = {"image": "images", "label": "labels", "box": "boxes", "polygon": "polygons", "mask": "masks"}


@dataclass(frozen=True, eq=False)
class Region:
    """A marked place of an image."""

    label: str
    kind: RegionKind
    outlines: Sequence[Points] = ()
    """Polygons; an upright box is given by two corners."""
    pixels: Callable[[], NDArray[np.bool_]] | None = None
    """Return the pixels, (height, width) of the image, where the place is given by them."""
    relative: bool = False
    """Whether the points are shares of the image's width and height."""


@dataclass(frozen=True, eq=False)
class AnnotatedImage:
    """One image with what a person said about it."""

    given: str
    """Its name as the file of annotations writes it."""
    place: Place
    labels: frozenset[str] = frozenset()
    """Labels of the whole image; those of its regions need not be among them."""
    regions: tuple[Region, ...] = ()
    size: tuple[int, int] | None = None
    """Width and height in pixels, where the annotations say them."""
    by: str | None = None
    at: datetime | None = None
    masks: Mapping[str | None, Path] = field(default_factory=dict)
    """Files of masks by label; None: of all defects."""

    @property
    def true(self) -> set[str]:
        """The labels that the image has."""
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
    left_out: Mapping[str, int] = field(default_factory=dict)
    """How many things were left out while reading, by what they are."""
    exclusive: bool = False
    """Whether the format gives each image exactly one label."""


def dataset_of_annotations(
    found: Annotations,
    folder: Path,
    label_names: Sequence[str] = (),
    *,
    task: Task | None = None,
    on_problem: OnProblem = "stop",
) -> Dataset:
    """Find the images of annotations, and write masks of their regions.

    Args:
        found: the annotations.
        folder: with the images, and perhaps ``groups.csv``.
        label_names: the labels of the recipe, in its order; empty for those of the annotations.
        task: exclusive: exactly one label of each image must be true; None: as the annotations say.
        on_problem: what happens to an image that can't be used.

    Raises:
        DatasetError: a label of the recipe is missing, no image is left, or (``stop``) there is a problem.
    """
    top = Place(found.source, 1, "entry")
    written = checked_labels(found.labels, top)
    names = tuple(label_names) or written
    if not names:
        raise DatasetError(
            [*found.problems, f"{found.source}: no image has a label: label some, and export them again"]
        )
    meant = {label: same_label(label, names) for label in written}
    if missing := [name for name in names if name not in meant.values()]:
        there = ", ".join(written) or "none"
        raise DatasetError([f"{found.source}: there is no label {', '.join(missing)}: its labels are {there}"])
    problems = [*found.problems]
    if unknown := [label for label, name in meant.items() if name is None]:
        text = f"{found.source}: the recipe has no label {', '.join(unknown)}: add it to the recipe"
        problems.append(Problem(top, text))
    if task is None:
        task = Task.EXCLUSIVE if found.exclusive and len(names) > 1 else Task.MULTI_LABEL
    labels_of = {label: meant[label_name(label)] for label in found.labels}
    builder = _Builder(found, FolderTables(folder), names, labels_of, exclusive=task is Task.EXCLUSIVE)
    for image in found.images:
        builder.add(image)
    warnings = [
        builder.balance(),
        *builder.differences.warnings,
        *builder.tables.warnings([*builder.examples.values()]),
    ]
    return finished(
        names,
        builder.examples.values(),
        [*problems, *builder.problems, *builder.tables.problems],
        warnings,
        folder=folder,
        on_problem=on_problem,
        task=task,
    )


class _Builder:
    """Collects the examples of annotations, and counts what was left out."""

    def __init__(
        self,
        found: Annotations,
        tables: FolderTables,
        names: tuple[str, ...],
        labels_of: Mapping[str, str | None],
        *,
        exclusive: bool,
    ) -> None:
        self.examples: dict[str, Example] = {}
        self.problems: list[Problem] = []
        self.differences = Differences()
        self.tables = tables
        self._found = found
        self._names = names
        self._labels_of = labels_of
        self._exclusive = exclusive
        self._regions_out: Counter[RegionKind] = Counter()
        self._left_out = Counter(found.left_out)
        self._scratch: Path | None = None
        self._written = 0

    def add(self, image: AnnotatedImage) -> None:
        """Add an image, or the problem that it has."""
        try:
            file = self.tables.files.find(image.given)
        except NoSuchImage as error:
            self._refuse(image, str(error), "no image")
            return
        true = {self._labels_of.get(label) for label in image.true}
        labels = tuple(name in true for name in self._names)
        if self._exclusive and (wrong := not_exclusive(self._names, labels)):
            self._refuse(image, f"{file.name}: {wrong}", "exclusive")
            return
        if before := self.examples.get(file.name):
            what = "is listed twice" if before.labels == labels else "is labelled otherwise"
            self._refuse(image, f"{file.name} {what}, see {before.place}: keep one of the two", what)
            return
        self.differences.note(image.given, file, image.place)
        by, at = self.tables.labelled(file.name)
        self.examples[file.name] = Example(
            file.name,
            file.path,
            labels,
            self.tables.group(file.name) or group_of_copies(file.name),
            image.place,
            image.by or by,
            image.at or at,
            tuple(self._masks(image, file)),
        )

    def balance(self) -> str:
        """Return how many images, labels and regions there were, how many were taken, and what the difference is."""
        before, after = self._counts(self._found.images), self._regions_out
        there = [counted(len(self._found.images), "image"), counted(len(self._found.labels), "label")]
        there += [counted(count, kind) for kind, count in before.items()]
        taken = [counted(len(self.examples), "image"), *(counted(after[kind], kind) for kind in before)]
        gone = [f"{what}: {count}" for what, count in self._left_out.items() if count]
        difference = f"; left out: {', '.join(gone)}" if gone else ""
        return f"{self._found.kind} ({self._found.source}): {', '.join(there)}; taken: {', '.join(taken)}{difference}"

    @staticmethod
    def _counts(images: Iterable[AnnotatedImage]) -> Counter[RegionKind]:
        return Counter(region.kind for image in images for region in image.regions)

    def _refuse(self, image: AnnotatedImage, text: str, cause: str) -> None:
        self.problems.append(Problem(image.place, text, cause))
        self._left_out[
            {"no image": "images whose file is not there"}.get(cause, f"images with the problem: {cause}")
        ] += 1
        for kind, count in self._counts([image]).items():
            self._left_out[f"{PLURALS[kind]} of images that were left out"] += count

    def _masks(self, image: AnnotatedImage, file: ImageFile) -> Iterable[tuple[str, Path]]:
        """Write the regions of an image as masks, one for each label; add the masks that lie in the folder."""
        masks = dict(self.tables.masks.of(file.name, self._names))
        for label, path in image.masks.items():
            masks[mask_name(file.name, label if label is None else self._labels_of.get(label))] = path
        if image.regions:
            try:
                width, height = image.size or size_of(as_jpeg_or_png(file.path.read_bytes()))
            except (OSError, UnreadableImage):
                width = height = 0
            if not 0 < width * height <= PIXEL_LIMIT:
                self._left_out["regions of images whose size is not known"] += len(image.regions)
                return masks.items()
            for label, canvas in self._drawn(image, width, height).items():
                masks[mask_name(file.name, label)] = self._write(canvas)
        return masks.items()

    def _drawn(self, image: AnnotatedImage, width: int, height: int) -> dict[str, NDArray[np.uint8]]:
        """Return the mask of each label, (height, width), 0 or 255."""
        drawn: dict[str, NDArray[np.uint8]] = {}
        for region in image.regions:
            label = self._labels_of.get(region.label)
            if label is None:
                self._left_out[f"{PLURALS[region.kind]} of labels that the recipe lacks"] += 1
                continue
            canvas = np.zeros((height, width), np.uint8)
            draw(region, canvas)
            if not canvas.any():
                self._left_out[f"{PLURALS[region.kind]} without an area in the image"] += 1
                continue
            self._regions_out[region.kind] += 1
            drawn[label] = np.maximum(drawn[label], canvas) if label in drawn else canvas
        return drawn

    def _write(self, canvas: NDArray[np.uint8]) -> Path:
        self._scratch = self._scratch or scratch_folder()
        self._written += 1
        path = self._scratch / f"{self._written:08d}.png"
        path.write_bytes(encode(canvas, "png"))
        return path


def draw(region: Region, canvas: NDArray[np.uint8]) -> None:
    """Fill a region with 255.

    Args:
        region: the place.
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
            first = max(round(left), 0), max(round(top), 0)
            canvas[first[1] : max(round(bottom), 0), first[0] : max(round(right), 0)] = 255
        elif len(outline) >= 3:
            cv2.fillPoly(canvas, [np.round(points).astype(np.int32)], 255)


def box(label: str, left: float, top: float, right: float, bottom: float, *, relative: bool = False) -> Region:
    """Return a box by two of its corners."""
    return Region(label, "box", [[(left, top), (right, bottom)]], relative=relative)


def group_of_copies(name: str) -> str:
    """Return the group of an image without ``groups.csv``: the image that it is an augmented copy of, or itself."""
    return name.partition(AUGMENTED)[0] if AUGMENTED in name else name


def counted(count: int, what: str) -> str:
    """Write a number of things."""
    return f"{count} {what if count == 1 else PLURALS[what]}"

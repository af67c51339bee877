"""Store labelled images as a dataset version."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from shared.contracts.dataset import DatasetVersion, LabelledImage, next_version, put_image, write_version
from shared.datasets.coverage import contradictions, coverage_warnings
from shared.datasets.labelled_images import LABELS, Dataset, Example, OnProblem, is_table
from shared.datasets.tables import DatasetError, Place, Problem, problem_lines
from shared.imaging.codec import UnreadableImage, as_jpeg_or_png, decode
from shared.storage.port import ObjectStore

THREADS: Final = 8


OpenedExample = tuple[Example, LabelledImage]
"""An image of a folder, and its entry in a dataset version."""


@dataclass(frozen=True)
class Imported:
    """A dataset version that holds the images of a folder."""

    version: DatasetVersion
    is_new: bool
    """False if the newest version already has the same images and labels."""
    problems: tuple[Problem, ...]
    """Rows, images and masks that were left out."""
    warnings: tuple[str, ...]


def import_dataset(
    dataset: Dataset, store: ObjectStore, name: str, *, by: str, source: str, on_problem: OnProblem = "stop"
) -> Imported:
    """Store labelled images as a version, unless the newest version has the same images and labels.

    Args:
        dataset: the images of a folder; their files are opened here.
        store: object storage.
        name: the name of the dataset.
        by: the person who imports it.
        source: where it comes from.
        on_problem: what happens if rows were left out, or an image or mask can't be decoded; ``skip`` stores an image
            whose mask can't be decoded without the mask.

    Raises:
        DatasetError: there is a problem (``stop``), no image can be decoded, or a file changes during the import.
        DatasetVersionError: the newest version can't be read.
        StorageError: object storage failed.
    """
    images, problems = open_images(dataset)
    if problems and (on_problem == "stop" or not images):
        raise DatasetError(problems)
    warnings = warnings_of(dataset, images)
    version_images = [image for _, image in images]
    version, is_new = next_version(store, name, dataset.label_names, version_images, by=by, source=source)
    if is_new:
        _upload(images, store)
        write_version(store, version)
    return Imported(version, is_new, tuple(problems), warnings)


def open_images(dataset: Dataset, threads: int = THREADS) -> tuple[list[OpenedExample], list[Problem]]:
    """Decode the images and masks of a dataset.

    Args:
        dataset: the images.
        threads: number of threads; each holds one decoded image in memory.

    Returns:
        The images that can be decoded, and the problems of the dataset, of its images and of its masks.
    """
    with ThreadPoolExecutor(threads) as pool:
        opened = list(pool.map(_open, dataset.examples))
    images = [(example, image) for example, (image, _) in zip(dataset.examples, opened, strict=True) if image]
    unreadable = [problem for _, problems in opened for problem in problems]
    return images, sorted([*dataset.problems, *unreadable], key=lambda each: (each.place.file, each.place.line))


def warnings_of(dataset: Dataset, images: Sequence[OpenedExample]) -> tuple[str, ...]:
    """Return warnings about the images of a dataset: their labels, their groups, and equal files."""
    labels, groups = [image.labels for _, image in images], [image.group for _, image in images]
    return (
        *coverage_warnings(dataset.label_names, labels, groups),
        *problem_lines(list(contradictions([replace(example, digest=image.digest) for example, image in images]))),
        *dataset.warnings,
    )


def _open(example: Example) -> tuple[LabelledImage | None, list[Problem]]:
    """Return the entry of an image in a version (None if it can't be decoded), and the problems of its files."""

    def digest_of(path: Path) -> str:
        content = as_jpeg_or_png(path.read_bytes())
        decode(content)
        return hashlib.sha256(content).hexdigest()

    try:
        digest = digest_of(example.image)
    except (OSError, UnreadableImage) as error:
        return None, [Problem(example.place, f"{example.name} can't be used: {error}", str(error))]
    masks: dict[str, str] = {}
    problems = []
    for name, path in example.masks:
        try:
            masks[name] = digest_of(path)
        except (OSError, UnreadableImage) as error:
            problems.append(Problem(example.place, f"{name}, the mask of {example.name}: {error}"))
    image = LabelledImage(
        name=example.name,
        digest=digest,
        labels=example.labels,
        group=example.group,
        table=example.place.file if is_table(example.place.file) else LABELS,
        labelled_by=example.labelled_by,
        labelled_at=example.labelled_at,
        masks=masks,
    )
    return image, problems


def _upload(images: Sequence[OpenedExample], store: ObjectStore) -> None:
    """Store the images and masks that are not stored yet."""

    def put(digest: str, place: Place, path: Path) -> None:
        if put_image(store, as_jpeg_or_png(path.read_bytes())) != digest:
            raise DatasetError([Problem(place, f"{path.name} changed while it was read: try again")])

    files: dict[str, tuple[Place, Path]] = {}
    for example, image in images:
        paths = {example.name: example.image, **dict(example.masks)}
        files |= {digest: (example.place, paths[name]) for name, digest in files_of(image)}
    with ThreadPoolExecutor(THREADS) as pool:
        for upload in [pool.submit(put, digest, *file) for digest, file in files.items()]:
            upload.result()


def files_of(image: LabelledImage) -> Iterator[tuple[str, str]]:
    """Yield the name and the SHA-256 of an image and of its masks."""
    yield image.name, image.digest
    yield from image.masks.items()

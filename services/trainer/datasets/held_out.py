"""Find the images of a model's test split in object storage."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import numpy as np
import structlog
from numpy.typing import NDArray

from services.trainer.datasets.versions import find_version
from services.trainer.errors import NotComparable
from shared.contracts.bundle import Bundle
from shared.contracts.dataset import (
    DatasetVersion,
    DatasetVersionError,
    LabelledImage,
    datasets,
    get_image,
    read_version,
    versions,
)
from shared.datasets.good_only import not_good
from shared.datasets.tables import DatasetError
from shared.engines.bundled_references import references_of
from shared.imaging.codec import Image, UnreadableImage, decode
from shared.label_names import IMAGE_COLUMN
from shared.storage.port import InvalidKey, ObjectStore
from shared.verdict import with_anomaly

THREADS: Final = 8
TEST_TABLE: Final = "test.csv"
"""The file of a bundle that lists its test split."""

_log = structlog.stdlib.get_logger("held_out")


@dataclass(frozen=True)
class HeldOut:
    """The images of a model's test split."""

    version: DatasetVersion
    images: tuple[LabelledImage, ...]
    truth: NDArray[np.float32]
    """(images, labels), 0 or 1; the labels in the order of the model's labels."""

    @property
    def groups(self) -> list[str]:
        """The group of each image."""
        return [image.group for image in self.images]

    def read(self, store: ObjectStore, part: slice) -> list[Image]:
        """Read some of the images, and check that each is the labelled image.

        Raises:
            NotComparable: an image is missing or has changed.
        """

        def read(image: LabelledImage) -> Image:
            return decode(get_image(store, self.version, image.name, image.digest))

        try:
            with ThreadPoolExecutor(THREADS) as pool:
                return list(pool.map(read, self.images[part]))
        except (DatasetVersionError, UnreadableImage) as error:
            raise NotComparable(str(error)) from error


def held_out(bundle: Bundle, store: ObjectStore) -> HeldOut:
    """Find the test split of a model.

    Raises:
        NotComparable: the bundle does not list its test split, or the images are not in object storage.
    """
    names = _names_in(bundle, TEST_TABLE)
    version = version_of(bundle, store)
    if not names or version is None:
        raise NotComparable(
            f"the test images of model {bundle.version} are not in object storage: "
            "`dataset import` the folder that it was trained on, or train it on a dataset version"
        )
    images_by_name = {image.name: image for image in version.images}
    if missing := [name for name in names if name not in images_by_name]:
        raise NotComparable(f"{version.reference} lacks {missing[0]}, a test image of model {bundle.version}")
    images, recipe = tuple(images_by_name[name] for name in names), bundle.recipe
    if recipe.good_by is not None:
        try:
            rows = not_good(version.label_names, [image.labels for image in images], recipe)
        except DatasetError as error:
            raise NotComparable(f"{version.reference}: {error}") from error
        return HeldOut(version, images, np.array(rows, np.float32)[:, np.newaxis])
    given = recipe.annotated.label_names
    columns = [version.label_names.index(name) for name in given if name in version.label_names]
    if len(columns) != len(given):
        raise NotComparable(f"{version.reference} lacks a label of model {bundle.version}")
    truth = np.array([[image.labels[column] for column in columns] for image in images], np.float32)
    return HeldOut(version, images, with_anomaly(recipe, truth))


def learned_from(bundle: Bundle, test: HeldOut, store: ObjectStore) -> int | None:
    """Return how many of the test images a model was trained or validated on; None if the number is unknown."""
    names = names_learned(bundle)
    try:
        version = version_of(bundle, store)
    except NotComparable:
        return None
    if version is None or not names:
        return None
    learned = {image.digest for image in version.images if image.name in names}
    return sum(image.digest in learned for image in test.images)


def known_groups(bundle: Bundle, test: HeldOut) -> int:
    """Count the groups of a model's test images with other images that it was trained or validated on."""
    names = names_learned(bundle)
    return len({image.group for image in test.version.images if image.name in names} & set(test.groups))


def version_of(bundle: Bundle, store: ObjectStore) -> DatasetVersion | None:
    """Find the dataset version that a model learned from, by its name or by the digest of its images.

    Raises:
        NotComparable: the version is missing or has changed, or the model does not name a dataset.
    """
    dataset = bundle.manifest.dataset
    try:
        if "@" in dataset:
            return find_version(store, dataset)
        return next((version for version in _all_versions(store) if version.digest == dataset), None)
    except (DatasetError, DatasetVersionError) as error:
        raise NotComparable(str(error)) from error
    except InvalidKey:
        raise NotComparable(f"model {bundle.version} names {dataset!r}, which is no dataset") from None


def _all_versions(store: ObjectStore) -> Iterator[DatasetVersion]:
    """Yield the versions that can be read; a damaged version is skipped."""
    for name in datasets(store):
        for version in versions(store, name):
            try:
                yield read_version(store, name, version)
            except DatasetVersionError as error:
                _log.warning("skipped a damaged dataset version", reason=str(error))


def names_learned(bundle: Bundle) -> set[str]:
    """Return the names of the images that a model was trained or validated on, and of its reference images."""
    references = references_of(bundle)
    return {
        *_names_in(bundle, "train.csv"),
        *_names_in(bundle, "valid.csv"),
        *(references.names if references else ()),
    }


def _names_in(bundle: Bundle, table: str) -> list[str]:
    """Return the names of the images in the table of a split; none if the bundle has no such table."""
    content = bundle.files.get(table, b"").decode("utf-8", errors="replace")
    return [row[IMAGE_COLUMN] for row in csv.DictReader(io.StringIO(content)) if row.get(IMAGE_COLUMN)]

"""Dataset versions: the images and labels that a model learned from.

``datasets/<name>/versions/<version>.json`` lists the images of a version and never changes. An image or mask is the
object ``datasets/images/<SHA-256>``, named by its content, so that versions and datasets share it.

The dashboard (from annotations) and the trainer (from folders) write versions: each image with `put_image`, then
`next_version`, and last `write_version`. So a version exists with all its images, or not at all.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Annotated, Final, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from shared.imaging.codec import content_type_of
from shared.label_names import MOST_LABELS, LabelName
from shared.messages import Name
from shared.storage.port import ObjectNotFound, ObjectStore
from shared.validation import first_problem

FOLDER: Final = "datasets"
VERSIONS: Final = "versions"
IMAGES: Final = "images"
VERSION_KEY: Final = re.compile(rf"{FOLDER}/(?P<dataset>.+)/{VERSIONS}/(?P<version>[A-Za-z0-9_-]+)\.json")

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""SHA-256, in hexadecimal."""


class DatasetVersionError(ValueError):
    """A version that must not be used, because it can't be read or has changed since it was made."""


def is_image_name(name: str) -> bool:
    """Return whether a name is a relative path that stays below its folder."""
    path = PurePosixPath(name)
    return bool(name) and not path.is_absolute() and ".." not in path.parts


def _image_name(name: str) -> str:
    if not is_image_name(name):
        raise ValueError(f"{name!r} is not a valid name of an image")
    return name


class LabelledImage(BaseModel):
    """One image of a version."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: Annotated[str, AfterValidator(_image_name)]
    digest: Digest = Field(description="SHA-256 of its file, which names its object")
    labels: tuple[bool, ...] = Field(description="values of the labels, in the order of the version's label names")
    group: str = Field(description="a part, batch or video: all images of a group are in one split")
    table: str = Field("labels.csv", description="the table of an export that lists it: labels.csv or <video>_data.csv")
    labelled_by: str | None = None
    labelled_at: AwareDatetime | None = None
    masks: dict[Annotated[str, AfterValidator(_image_name)], Digest] = Field(
        default={}, description="masks of its defects: path below the folder of an export to SHA-256"
    )


class DatasetVersion(BaseModel):
    """Labelled images as they were at one moment."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    format: int = 1
    dataset: str
    version: Name
    made_at: AwareDatetime
    made_by: str
    source: str = Field(description="a folder, or the annotated sources of the dashboard")
    digest: str = Field(description="sha256:… of names, contents, groups and labels: see `content_digest`")
    label_names: Annotated[tuple[LabelName, ...], Field(min_length=1, max_length=MOST_LABELS)]
    images: Annotated[tuple[LabelledImage, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if any(len(image.labels) != len(self.label_names) for image in self.images):
            raise ValueError(f"each image has {len(self.label_names)} labels")
        if self.digest != digest_of(self.label_names, self.images):
            raise ValueError("it has changed since it was made")
        return self

    @property
    def reference(self) -> str:
        """``name@version``, by which trainings and models name the version."""
        return f"{self.dataset}@{self.version}"

    @property
    def group_count(self) -> int:
        """The number of groups."""
        return len({image.group for image in self.images})

    @property
    def counts(self) -> dict[str, int]:
        """The number of images with each label."""
        counts = Counter(
            name for image in self.images for name, true in zip(self.label_names, image.labels, strict=True) if true
        )
        return {name: counts[name] for name in self.label_names}

    @property
    def label_groups(self) -> dict[str, tuple[int, int]]:
        """The number of groups with images that have each label, and with images that lack it."""
        groups = {(column, true, image.group) for image in self.images for column, true in enumerate(image.labels)}
        counts = Counter((column, true) for column, true, _ in groups)
        return {name: (counts[column, True], counts[column, False]) for column, name in enumerate(self.label_names)}


def content_digest(label_names: Sequence[str], images: Iterable[tuple[str, str, str, Sequence[bool]]]) -> str:
    """Return ``sha256:…`` of what a network learns from, independent of the order of images and labels.

    Args:
        label_names: the names of the labels.
        images: name, SHA-256 of the file, group and labels of each image.
    """
    order = sorted(range(len(label_names)), key=lambda column: label_names[column])
    lines = sorted(
        "\t".join([name, digest, group, *(f"{label_names[column]}={bool(labels[column])}" for column in order)])
        for name, digest, group, labels in images
    )
    return f"sha256:{hashlib.sha256(chr(10).join(lines).encode()).hexdigest()}"


def digest_of(label_names: Sequence[str], images: Sequence[LabelledImage]) -> str:
    """Return the `content_digest` of these images."""
    return content_digest(label_names, ((each.name, each.digest, each.group, each.labels) for each in images))


def make_version(
    dataset: str,
    number: int,
    label_names: Sequence[str],
    images: Sequence[LabelledImage],
    *,
    by: str,
    source: str,
) -> DatasetVersion:
    """Make a version whose name is its number and a digest, such as ``0003-3f9a2c1d``.

    Args:
        dataset: the name of the dataset.
        number: from 1; one more than that of the newest version.
        label_names: the names of the labels.
        images: the images, in the order in which they are split and exported.
        by: the person who makes the version.
        source: where the images come from.
    """
    content = "\n".join([*label_names, *(image.model_dump_json() for image in images)])
    return DatasetVersion(
        dataset=dataset,
        version=f"{number:04d}-{hashlib.sha256(content.encode()).hexdigest()[:8]}",
        made_at=datetime.now(UTC),
        made_by=by,
        source=source,
        digest=digest_of(label_names, images),
        label_names=tuple(label_names),
        images=tuple(images),
    )


def next_version(
    store: ObjectStore,
    dataset: str,
    label_names: Sequence[str],
    images: Sequence[LabelledImage],
    *,
    by: str,
    source: str,
) -> tuple[DatasetVersion, bool]:
    """Make the next version of a dataset. Nothing is stored: `write_version` stores it.

    Returns:
        The new version and True; or the newest stored version and False, if it has the same images and labels.

    Raises:
        DatasetVersionError: the newest version can't be read.
        StorageError: object storage failed.
    """
    newest = newest_version(store, dataset)
    number = int(newest.version.partition("-")[0]) + 1 if newest else 1
    version = make_version(dataset, number, label_names, images, by=by, source=source)
    if newest and newest.digest == version.digest and _export_details(newest) == _export_details(version):
        return newest, False
    return version, True


def _export_details(version: DatasetVersion) -> dict[str, tuple[object, ...]]:
    """Return for each image the details in an export that its digest does not cover: table, author, time and masks."""
    return {each.name: (each.table, each.labelled_by, each.labelled_at, each.masks) for each in version.images}


def image_key(digest: str) -> str:
    """Return the key of an image or mask."""
    return f"{FOLDER}/{IMAGES}/{digest}"


def put_image(store: ObjectStore, content: bytes) -> str:
    """Store the file of an image or mask, unless it is stored already. Return its SHA-256 in hexadecimal."""
    digest = hashlib.sha256(content).hexdigest()
    if not store.exists(key := image_key(digest)):
        store.put(key, content, content_type_of(content))
    return digest


def get_image(store: ObjectStore, version: DatasetVersion, name: str, digest: str) -> bytes:
    """Return the file of an image or mask of a version.

    Raises:
        DatasetVersionError: the file is missing or has changed.
        StorageError: object storage failed.
    """
    try:
        content = store.get(image_key(digest))
    except ObjectNotFound as error:
        raise DatasetVersionError(f"{version.reference} lacks its image {name}: {error}") from error
    if hashlib.sha256(content).hexdigest() != digest:
        raise DatasetVersionError(f"{version.reference}: image {name} has changed since it was stored")
    return content


def versions(store: ObjectStore, dataset: str) -> list[str]:
    """Return the names of the versions of a dataset, oldest first."""
    prefix = f"{FOLDER}/{dataset}/{VERSIONS}/"
    names = (key.removeprefix(prefix).removesuffix(".json") for key in store.keys(prefix))
    return sorted(names, key=lambda name: (len(name), name))


def datasets(store: ObjectStore) -> list[str]:
    """Return the names of the datasets that have versions."""
    matches = (VERSION_KEY.fullmatch(key) for key in store.keys(f"{FOLDER}/"))
    return sorted({match["dataset"] for match in matches if match})


def newest_version(store: ObjectStore, dataset: str) -> DatasetVersion | None:
    """Read the newest version of a dataset; None if the dataset has no version.

    Raises:
        DatasetVersionError: the version can't be read.
        StorageError: object storage failed.
    """
    names = versions(store, dataset)
    return read_version(store, dataset, names[-1]) if names else None


def read_version(store: ObjectStore, dataset: str, version: str) -> DatasetVersion:
    """Read a version.

    Raises:
        DatasetVersionError: the version can't be read, or has changed since it was made.
        StorageError: object storage failed; `ObjectNotFound` if there is no such version.
    """
    try:
        content = DatasetVersion.model_validate_json(store.get(_key(dataset, version)))
    except ValidationError as error:
        why = first_problem(error)
        raise DatasetVersionError(f"version {version} of dataset {dataset!r} must not be used: {why}") from error
    if (content.dataset, content.version) != (dataset, version):
        raise DatasetVersionError(
            f"version {version} of dataset {dataset!r} holds {content.reference}: it was copied there"
        )
    return content


def write_version(store: ObjectStore, version: DatasetVersion) -> None:
    """Store a version whose images are stored. A version that exists is not changed."""
    store.create(_key(version.dataset, version.version), version.model_dump_json().encode(), "application/json")


def _key(dataset: str, version: str) -> str:
    return f"{FOLDER}/{dataset}/{VERSIONS}/{version}.json"

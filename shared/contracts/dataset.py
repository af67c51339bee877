"""Dataset versions: which images, with which labels, a model learned from, so that they can be found again.

``datasets/<name>/versions/<version>.json`` lists the images of a version, and is never changed. The images are
``datasets/<name>/images/<SHA-256>``, named by what is in them, so that versions share them and none is overwritten;
so are the masks that mark where in them the things are. A version is written after its images, so it is there whole
or not at all.

Nobody but the trainer writes either.
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

from shared.messages import Name
from shared.storage.port import ObjectStore

FOLDER: Final = "datasets"
VERSIONS: Final = "versions"
IMAGES: Final = "images"
VERSION_KEY: Final = re.compile(rf"{FOLDER}/(?P<dataset>.+)/{VERSIONS}/(?P<version>[A-Za-z0-9_-]+)\.json")

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""SHA-256, in hexadecimal."""


class DatasetVersionError(ValueError):
    """A version that must not be used: unreadable, or changed since it was made."""


def is_image_name(name: str) -> bool:
    """Whether a name is one of a file below a folder, and leads nowhere else."""
    path = PurePosixPath(name)
    return bool(name) and not path.is_absolute() and ".." not in path.parts


def _image_name(name: str) -> str:
    if not is_image_name(name):
        raise ValueError(f"{name!r} is no name of an image")
    return name


class LabelledImage(BaseModel):
    """One image of a version."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: Annotated[str, AfterValidator(_image_name)]
    digest: Digest = Field(description="of its file; its key in object storage")
    labels: tuple[bool, ...] = Field(description="in the order of the version's label names")
    group: str = Field(description="what must not be on two sides of a split: a part, a batch, a video")
    table: str = Field(description="the file that listed it")
    labelled_by: str | None = None
    labelled_at: AwareDatetime | None = None
    masks: dict[Annotated[str, AfterValidator(_image_name)], Digest] = Field(
        default={}, description="where in it the things are, as somebody marked it: file below the folder, its SHA-256"
    )


class DatasetVersion(BaseModel):
    """Labelled images as they were at one moment."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    format: int = 1
    dataset: str
    version: Name
    made_at: AwareDatetime
    made_by: str
    source: str = Field(description="the folder or prefix that it was read from")
    digest: str = Field(description="sha256:… of names, contents, groups and labels: see `content_digest`")
    label_names: Annotated[tuple[str, ...], Field(min_length=1)]
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
        """``name@version``: how trainings and models name it."""
        return f"{self.dataset}@{self.version}"

    @property
    def groups(self) -> int:
        """How many there are."""
        return len({image.group for image in self.images})

    @property
    def counts(self) -> dict[str, int]:
        """How many images have each label."""
        found = Counter(
            name for image in self.images for name, true in zip(self.label_names, image.labels, strict=True) if true
        )
        return {name: found[name] for name in self.label_names}


def content_digest(label_names: Sequence[str], images: Iterable[tuple[str, str, str, Sequence[bool]]]) -> str:
    """``sha256:…`` of what a network learns from; neither the order of the images nor of the labels matters.

    Args:
        label_names: of the labels.
        images: name, SHA-256 of the file, group and labels of each.
    """
    order = sorted(range(len(label_names)), key=lambda column: label_names[column])
    lines = sorted(
        "\t".join([name, digest, group, *(f"{label_names[column]}={bool(labels[column])}" for column in order)])
        for name, digest, group, labels in images
    )
    return f"sha256:{hashlib.sha256(chr(10).join(lines).encode()).hexdigest()}"


def digest_of(label_names: Sequence[str], images: Sequence[LabelledImage]) -> str:
    """The `content_digest` of these images."""
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
    """A version of this moment, called by its number and a digest, as in ``0003-3f9a2c1d``.

    Args:
        dataset: its name.
        number: from 1; one more than that of the newest version.
        label_names: of the labels.
        images: in the order of the tables.
        by: who makes it.
        source: where the images were read from.
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


def image_key(dataset: str, digest: str) -> str:
    """Where the file of an image, or of a mask, is."""
    return f"{FOLDER}/{dataset}/{IMAGES}/{digest}"


def versions(store: ObjectStore, dataset: str) -> list[str]:
    """The versions of a dataset, oldest first."""
    prefix = f"{FOLDER}/{dataset}/{VERSIONS}/"
    found = (key.removeprefix(prefix).removesuffix(".json") for key in store.keys(prefix))
    return sorted(found, key=lambda version: (len(version), version))


def datasets(store: ObjectStore) -> list[str]:
    """The names of the datasets that have versions."""
    found = (VERSION_KEY.fullmatch(key) for key in store.keys(f"{FOLDER}/"))
    return sorted({match["dataset"] for match in found if match})


def read_version(store: ObjectStore, dataset: str, version: str) -> DatasetVersion:
    """Read a version.

    Raises:
        DatasetVersionError: it can't be read, or has changed since it was made.
        StorageError: of the storage itself; `ObjectNotFound` when there is no such version.
    """
    try:
        found = DatasetVersion.model_validate_json(store.get(_key(dataset, version)))
    except ValidationError as error:
        why = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise DatasetVersionError(f"version {version} of dataset {dataset!r} must not be used: {why}") from error
    if (found.dataset, found.version) != (dataset, version):
        raise DatasetVersionError(
            f"version {version} of dataset {dataset!r} holds {found.reference}: it was copied there"
        )
    return found


def write_version(store: ObjectStore, version: DatasetVersion) -> None:
    """Keep a version whose images are there; one that is kept already stays as it is."""
    store.create(_key(version.dataset, version.version), version.model_dump_json().encode(), "application/json")


def _key(dataset: str, version: str) -> str:
    return f"{FOLDER}/{dataset}/{VERSIONS}/{version}.json"

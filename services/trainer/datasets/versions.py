"""From a folder of labelled images to a dataset version in object storage, and back."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from services.trainer.datasets.labelled_images import (
    GROUPS,
    IMAGES,
    LABELLED,
    NAME,
    Dataset,
    Example,
    OnProblem,
    group_of_table,
)
from services.trainer.datasets.split import scarce
from services.trainer.datasets.tables import DatasetError, Place, Problem, written
from shared.contracts.dataset import (
    FOLDER,
    DatasetVersion,
    DatasetVersionError,
    LabelledImage,
    image_key,
    make_version,
    read_version,
    versions,
    write_version,
)
from shared.imaging.codec import UnreadableImage, decode
from shared.storage.port import ObjectNotFound, ObjectStore

THREADS: Final = 8


@dataclass(frozen=True)
class Kept:
    """A version that holds what was read."""

    version: DatasetVersion
    is_new: bool
    """False where the newest version holds the same already."""
    problems: tuple[Problem, ...]
    """What was passed over."""
    warnings: tuple[str, ...]


def keep(
    dataset: Dataset, store: ObjectStore, name: str, *, by: str, source: str, on_problem: OnProblem = "stop"
) -> Kept:
    """Keep labelled images as a version, unless they are what the newest version holds.

    Args:
        dataset: as it was read; its images are opened here.
        store: object storage.
        name: of the dataset.
        by: who brings it.
        source: where it comes from.
        on_problem: what a row that was passed over, or an image or mask that can't be decoded, does; an image whose
            mask can't be is kept without it.

    Raises:
        DatasetError: there is a problem (``stop``), no image can be decoded, or one changes meanwhile.
        DatasetVersionError: the newest version can't be read.
        StorageError: of the storage itself.
    """
    images, unreadable = _look_at(dataset.examples)
    problems = sorted([*dataset.problems, *unreadable], key=lambda each: (each.place.file, each.place.line))
    if problems and (on_problem == "stop" or not images):
        raise DatasetError(problems)
    warnings = (
        *scarce(dataset.label_names, [image.labels for _, image in images]),
        *_twins(images),
        *dataset.warnings,
    )
    before = newest_version(store, name)
    number = int(before.version.partition("-")[0]) + 1 if before else 1
    made = make_version(name, number, dataset.label_names, [each for _, each in images], by=by, source=source)
    if before and _same(before, made):
        return Kept(before, False, tuple(problems), warnings)
    _upload(images, store, name)
    write_version(store, made)
    return Kept(made, True, tuple(problems), warnings)


def newest_version(store: ObjectStore, name: str) -> DatasetVersion | None:
    """The newest version of a dataset; None where it has none.

    Raises:
        DatasetVersionError: it can't be read.
        StorageError: of the storage itself.
    """
    known = versions(store, name)
    return read_version(store, name, known[-1]) if known else None


def find_version(store: ObjectStore, reference: str) -> DatasetVersion:
    """The version of ``name@version``, or the newest of ``name``.

    Raises:
        DatasetError: there is none.
        DatasetVersionError: it can't be read.
        StorageError: of the storage itself.
    """
    name, _, version = reference.partition("@")
    try:
        found = read_version(store, name, version) if version else newest_version(store, name)
    except ObjectNotFound:
        known = ", ".join(versions(store, name)) or "none"
        raise DatasetError([f"dataset {name!r} has no version {version!r}; there is {known}"]) from None
    if found is None:
        how = f"import it, or put its tables and images below {FOLDER}/{name}/"
        raise DatasetError([f"there is no dataset {name!r} in object storage: {how}"])
    return found


def check_out(version: DatasetVersion, store: ObjectStore, folder: Path) -> None:
    """Write a version as a folder that can be read, and imported, again: its tables, images and masks.

    Raises:
        DatasetVersionError: an image or a mask is missing or has changed.
        StorageError: of the storage itself.
    """
    for table, content in tables_of(version).items():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / table).write_bytes(content)

    def fetch(image: LabelledImage) -> None:
        _write(folder / IMAGES / image.name, image_of(version, image, store))
        for name, digest in image.masks.items():
            _write(folder / name, _content(version, name, digest, store))

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(fetch, version.images))


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def image_of(version: DatasetVersion, image: LabelledImage, store: ObjectStore) -> bytes:
    """The very file that was labelled.

    Raises:
        DatasetVersionError: it is missing or has changed.
        StorageError: of the storage itself.
    """
    return _content(version, image.name, image.digest, store)


def _content(version: DatasetVersion, name: str, digest: str, store: ObjectStore) -> bytes:
    try:
        content = store.get(image_key(version.dataset, digest))
    except ObjectNotFound as error:
        raise DatasetVersionError(f"{version.reference} lacks its image {name}: {error}") from error
    if hashlib.sha256(content).hexdigest() != digest:
        raise DatasetVersionError(f"{version.reference}: image {name} has changed since it was kept")
    return content


def tables_of(version: DatasetVersion) -> dict[str, bytes]:
    """The tables that a version came from, by file, with ``groups.csv`` and ``labelled.csv`` where they say more."""
    rows: dict[str, list[tuple[object, ...]]] = defaultdict(list)
    for each in version.images:
        rows[each.table].append((each.name, *each.labels))
    tables = {table: written((NAME, *version.label_names), lines) for table, lines in rows.items()}
    if any(each.group != group_of_table(each.table, each.name) for each in version.images):
        tables[GROUPS] = written((NAME, "group"), [(each.name, each.group) for each in version.images])
    labelled = [
        (each.name, each.labelled_by or "", each.labelled_at.isoformat() if each.labelled_at else "")
        for each in version.images
        if each.labelled_by or each.labelled_at
    ]
    if labelled:
        tables[LABELLED] = written((NAME, "by", "at"), labelled)
    return tables


def as_dataset(version: DatasetVersion) -> Dataset:
    """A version as a dataset whose images are not on this machine."""
    lines: dict[str, int] = defaultdict(lambda: 1)
    examples = []
    for each in version.images:
        lines[each.table] += 1
        place = Place(each.table, lines[each.table])
        examples.append(Example(each.name, Path(each.name), each.labels, each.group, place, digest=each.digest))
    return Dataset(version.label_names, tuple(examples))


def _look_at(examples: Sequence[Example]) -> tuple[list[tuple[Example, LabelledImage]], list[Problem]]:
    """Each example as a version lists it, and which of them, or of their masks, are no images."""
    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(_look, examples))
    images = [(example, image) for example, (image, _) in zip(examples, found, strict=True) if image]
    return images, [problem for _, problems in found for problem in problems]


def _look(example: Example) -> tuple[LabelledImage | None, list[Problem]]:
    try:
        digest = _digest_of_image(example.image)
    except (OSError, UnreadableImage) as error:
        return None, [Problem(example.place, f"{example.name}: {error}")]
    masks: dict[str, str] = {}
    problems = []
    for name, path in example.masks:
        try:
            masks[name] = _digest_of_image(path)
        except (OSError, UnreadableImage) as error:
            problems.append(Problem(example.place, f"{name}, the mask of {example.name}: {error}"))
    image = LabelledImage(
        name=example.name,
        digest=digest,
        labels=example.labels,
        group=example.group,
        table=example.place.file,
        labelled_by=example.labelled_by,
        labelled_at=example.labelled_at,
        masks=masks,
    )
    return image, problems


def _digest_of_image(path: Path) -> str:
    content = path.read_bytes()
    decode(content)
    return hashlib.sha256(content).hexdigest()


def _twins(images: Iterable[tuple[Example, LabelledImage]]) -> Iterator[str]:
    """Files of equal content that contradict each other."""
    first: dict[str, tuple[Example, LabelledImage]] = {}
    for example, image in images:
        other, known = first.setdefault(image.digest, (example, image))
        if known.labels != image.labels:
            yield f"{example.place}: {image.name} is the same image as {other.place}, and is labelled otherwise"
        elif known.group != image.group:
            yield f"{example.place}: {image.name} is the same image as {other.place}, and is in another group"


def _same(before: DatasetVersion, now: DatasetVersion) -> bool:
    def beside(version: DatasetVersion) -> dict[str, tuple[object, ...]]:
        return {each.name: (each.table, each.labelled_by, each.labelled_at, each.masks) for each in version.images}

    return before.digest == now.digest and beside(before) == beside(now)


def _upload(images: Sequence[tuple[Example, LabelledImage]], store: ObjectStore, name: str) -> None:
    """Put the images and masks that are not there; a version that is written later finds all of them."""
    there = set(store.keys(image_key(name, "")))
    files = {
        digest: (example.place, path)
        for example, image in images
        for digest, path in _files_of(example, image)
        if image_key(name, digest) not in there
    }

    def put(digest: str, place: Place, path: Path) -> None:
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != digest:
            raise DatasetError([Problem(place, f"{path.name} changed while it was read: try again")])
        kind = "image/png" if content.startswith(b"\x89PNG") else "image/jpeg"
        store.put(image_key(name, digest), content, kind)

    with ThreadPoolExecutor(THREADS) as pool:
        for done in [pool.submit(put, digest, *file) for digest, file in files.items()]:
            done.result()


def _files_of(example: Example, image: LabelledImage) -> Iterator[tuple[str, Path]]:
    """The file of an image and those of its masks, by their digest."""
    yield image.digest, example.image
    for name, path in example.masks:
        if name in image.masks:
            yield image.masks[name], path

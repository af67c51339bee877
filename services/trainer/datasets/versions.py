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
    LabelledImage,
    get_image,
    newest_version,
    next_version,
    put_image,
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
    listed = [image for _, image in images]
    version, is_new = next_version(store, name, dataset.label_names, listed, by=by, source=source)
    if is_new:
        _upload(images, store)
        write_version(store, version)
    return Kept(version, is_new, tuple(problems), warnings)


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
        files = {f"{IMAGES}/{image.name}": image.digest, **image.masks}
        for name, digest in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(get_image(store, version, name.removeprefix(f"{IMAGES}/"), digest))

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(fetch, version.images))


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


def _upload(images: Sequence[tuple[Example, LabelledImage]], store: ObjectStore) -> None:
    """Store the images and masks that are not stored yet."""

    def put(digest: str, place: Place, path: Path) -> None:
        if put_image(store, path.read_bytes()) != digest:
            raise DatasetError([Problem(place, f"{path.name} changed while it was read: try again")])

    files = {digest: (example.place, path) for example, image in images for digest, path in _files_of(example, image)}
    with ThreadPoolExecutor(THREADS) as pool:
        for done in [pool.submit(put, digest, *file) for digest, file in files.items()]:
            done.result()


def _files_of(example: Example, image: LabelledImage) -> Iterator[tuple[str, Path]]:
    """The file of an image and those of its masks, by their digest."""
    yield image.digest, example.image
    for name, path in example.masks:
        if name in image.masks:
            yield image.masks[name], path

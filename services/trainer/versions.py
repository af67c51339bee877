"""From a folder of labelled pictures to a dataset version in object storage, and back."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from services.trainer.dataset import GROUPS, LABELLED, NAME, PICTURES, Dataset, Example, OnProblem, group_of_table
from services.trainer.split import scarce
from services.trainer.tables import DatasetError, Place, Problem, written
from shared.dataset import (
    FOLDER,
    DatasetVersion,
    DatasetVersionError,
    LabelledPicture,
    make_version,
    picture_key,
    read_version,
    versions,
    write_version,
)
from shared.storage.port import ObjectNotFound, ObjectStore
from shared.vision.codec import UnreadablePicture, decode

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
    """Keep labelled pictures as a version, unless they are what the newest version holds.

    Args:
        dataset: as it was read; its pictures are opened here.
        store: object storage.
        name: of the dataset.
        by: who brings it.
        source: where it comes from.
        on_problem: what a row that was passed over, or a picture that can't be decoded, does.

    Raises:
        DatasetError: there is a problem (``stop``), no picture can be decoded, or one changes meanwhile.
        DatasetVersionError: the newest version can't be read.
        StorageError: of the storage itself.
    """
    pictures, unreadable = _look_at(dataset.examples)
    problems = sorted([*dataset.problems, *unreadable], key=lambda each: (each.place.file, each.place.line))
    if problems and (on_problem == "stop" or not pictures):
        raise DatasetError(problems)
    warnings = (*scarce(dataset.label_names, [picture.labels for _, picture in pictures]), *_twins(pictures))
    before = newest_version(store, name)
    number = int(before.version.partition("-")[0]) + 1 if before else 1
    made = make_version(name, number, dataset.label_names, [each for _, each in pictures], by=by, source=source)
    if before and _same(before, made):
        return Kept(before, False, tuple(problems), warnings)
    _upload(pictures, store, name)
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
        how = f"import it, or put its tables and pictures below {FOLDER}/{name}/"
        raise DatasetError([f"there is no dataset {name!r} in object storage: {how}"])
    return found


def check_out(version: DatasetVersion, store: ObjectStore, folder: Path) -> None:
    """Write a version as a folder that can be read, and imported, again: its tables, and its pictures in ``images/``.

    Raises:
        DatasetVersionError: a picture is missing or has changed.
        StorageError: of the storage itself.
    """
    for table, content in tables_of(version).items():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / table).write_bytes(content)

    def fetch(picture: LabelledPicture) -> None:
        path = folder / PICTURES / picture.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture_of(version, picture, store))

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(fetch, version.pictures))


def picture_of(version: DatasetVersion, picture: LabelledPicture, store: ObjectStore) -> bytes:
    """The very file that was labelled.

    Raises:
        DatasetVersionError: it is missing or has changed.
        StorageError: of the storage itself.
    """
    try:
        content = store.get(picture_key(version.dataset, picture.digest))
    except ObjectNotFound as error:
        raise DatasetVersionError(f"{version.reference} lacks its picture {picture.name}: {error}") from error
    if hashlib.sha256(content).hexdigest() != picture.digest:
        raise DatasetVersionError(f"{version.reference}: picture {picture.name} has changed since it was kept")
    return content


def tables_of(version: DatasetVersion) -> dict[str, bytes]:
    """The tables that a version came from, by file, with ``groups.csv`` and ``labelled.csv`` where they say more."""
    rows: dict[str, list[tuple[object, ...]]] = defaultdict(list)
    for each in version.pictures:
        rows[each.table].append((each.name, *each.labels))
    tables = {table: written((NAME, *version.label_names), lines) for table, lines in rows.items()}
    if any(each.group != group_of_table(each.table, each.name) for each in version.pictures):
        tables[GROUPS] = written((NAME, "group"), [(each.name, each.group) for each in version.pictures])
    labelled = [
        (each.name, each.labelled_by or "", each.labelled_at.isoformat() if each.labelled_at else "")
        for each in version.pictures
        if each.labelled_by or each.labelled_at
    ]
    if labelled:
        tables[LABELLED] = written((NAME, "by", "at"), labelled)
    return tables


def as_dataset(version: DatasetVersion) -> Dataset:
    """A version as a dataset whose pictures are not on this machine."""
    lines: dict[str, int] = defaultdict(lambda: 1)
    examples = []
    for each in version.pictures:
        lines[each.table] += 1
        place = Place(each.table, lines[each.table])
        examples.append(Example(each.name, Path(each.name), each.labels, each.group, place))
    return Dataset(version.label_names, tuple(examples))


def _look_at(examples: Sequence[Example]) -> tuple[list[tuple[Example, LabelledPicture]], list[Problem]]:
    """Each example as a version lists it, and which of them are no pictures."""

    def look(example: Example) -> LabelledPicture | Problem:
        try:
            content = example.picture.read_bytes()
            decode(content)
        except (OSError, UnreadablePicture) as error:
            return Problem(example.place, f"{example.name}: {error}")
        return LabelledPicture(
            name=example.name,
            digest=hashlib.sha256(content).hexdigest(),
            labels=example.labels,
            group=example.group,
            table=example.place.file,
            labelled_by=example.labelled_by,
            labelled_at=example.labelled_at,
        )

    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(look, examples))
    pictures = [(example, each) for example, each in zip(examples, found, strict=True) if not isinstance(each, Problem)]
    return pictures, [each for each in found if isinstance(each, Problem)]


def _twins(pictures: Iterable[tuple[Example, LabelledPicture]]) -> Iterator[str]:
    """Files of equal content that contradict each other."""
    first: dict[str, tuple[Example, LabelledPicture]] = {}
    for example, picture in pictures:
        other, known = first.setdefault(picture.digest, (example, picture))
        if known.labels != picture.labels:
            yield f"{example.place}: {picture.name} is the same picture as {other.place}, and is labelled otherwise"
        elif known.group != picture.group:
            yield f"{example.place}: {picture.name} is the same picture as {other.place}, and is in another group"


def _same(before: DatasetVersion, now: DatasetVersion) -> bool:
    def beside(version: DatasetVersion) -> dict[str, tuple[object, ...]]:
        return {each.name: (each.table, each.labelled_by, each.labelled_at) for each in version.pictures}

    return before.digest == now.digest and beside(before) == beside(now)


def _upload(pictures: Sequence[tuple[Example, LabelledPicture]], store: ObjectStore, name: str) -> None:
    """Put the pictures that are not there; a version that is written later finds all of them."""
    there = set(store.keys(picture_key(name, "")))
    missing = {key: each for each in pictures if (key := picture_key(name, each[1].digest)) not in there}

    def put(key: str, example: Example, picture: LabelledPicture) -> None:
        content = example.picture.read_bytes()
        if hashlib.sha256(content).hexdigest() != picture.digest:
            raise DatasetError([Problem(example.place, f"{example.name} changed while it was read: try again")])
        store.put(key, content, "image/png" if content.startswith(b"\x89PNG") else "image/jpeg")

    with ThreadPoolExecutor(THREADS) as pool:
        for done in [pool.submit(put, key, *each) for key, each in missing.items()]:
            done.result()

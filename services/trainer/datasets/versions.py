"""Import a folder of labelled images as a dataset version, export a version as a folder, and download one."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from services.trainer.datasets.labelled_images import (
    GROUPS,
    IMAGES,
    LABELLED,
    NAME,
    UNGROUPED,
    Dataset,
    Example,
    OnProblem,
    group_of_table,
    not_exclusive,
    unknown_labels,
)
from services.trainer.datasets.split import scarce
from services.trainer.datasets.tables import DatasetError, Place, Problem, written
from shared.contracts.dataset import (
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
from shared.recipe import Recipe, Task
from shared.storage.port import ObjectNotFound, ObjectStore

THREADS: Final = 8


@dataclass(frozen=True)
class Imported:
    """A dataset version that holds the images of a folder."""

    version: DatasetVersion
    is_new: bool
    """False where the newest version holds the same."""
    problems: tuple[Problem, ...]
    """Rows, images and masks that were left out."""
    warnings: tuple[str, ...]


def import_dataset(
    dataset: Dataset, store: ObjectStore, name: str, *, by: str, source: str, on_problem: OnProblem = "stop"
) -> Imported:
    """Store labelled images as a version, unless the newest version holds the same.

    Args:
        dataset: the images of a folder; their files are opened here.
        store: object storage.
        name: the name of the dataset.
        by: the person who imports it.
        source: where it comes from.
        on_problem: what a row that was left out, or an image or mask that can't be decoded, does; an image whose
            mask can't be decoded is stored without it.

    Raises:
        DatasetError: there is a problem (``stop``), no image can be decoded, or a file changes meanwhile.
        DatasetVersionError: the newest version can't be read.
        StorageError: of the storage itself.
    """
    with ThreadPoolExecutor(THREADS) as pool:
        opened = list(pool.map(_open, dataset.examples))
    images = [(example, image) for example, (image, _) in zip(dataset.examples, opened, strict=True) if image]
    unreadable = [problem for _, problems in opened for problem in problems]
    problems = sorted([*dataset.problems, *unreadable], key=lambda each: (each.place.file, each.place.line))
    if problems and (on_problem == "stop" or not images):
        raise DatasetError(problems)
    warnings = (
        *scarce(dataset.label_names, [image.labels for _, image in images]),
        *_contradictions(images),
        *dataset.warnings,
    )
    listed = [image for _, image in images]
    version, is_new = next_version(store, name, dataset.label_names, listed, by=by, source=source)
    if is_new:
        _upload(images, store)
        write_version(store, version)
    return Imported(version, is_new, tuple(problems), warnings)


def find_version(store: ObjectStore, reference: str) -> DatasetVersion:
    """Read the version of ``name@version``, or the newest of ``name``.

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
        how = "make it from annotations on the dashboard, or import a folder (`dataset import`)"
        raise DatasetError([f"there is no dataset {name!r} in object storage: {how}"])
    return found


def download(version: DatasetVersion, store: ObjectStore, folder: Path) -> Dataset:
    """Download the images and masks of a version into a local folder, each once.

    Raises:
        DatasetVersionError: an image or a mask is missing or has changed.
        StorageError: of the storage itself.
    """
    folder.mkdir(parents=True, exist_ok=True)

    def fetch(name: str, digest: str) -> None:
        (folder / digest).write_bytes(get_image(store, version, name, digest))

    files = {digest: name for image in version.images for name, digest in _files_of(image)}
    with ThreadPoolExecutor(THREADS) as pool:
        for done in [pool.submit(fetch, name, digest) for digest, name in files.items()]:
            done.result()
    return dataset_of(version, folder)


def dataset_of(version: DatasetVersion, folder: Path = Path()) -> Dataset:
    """Return a version as a dataset whose files are in a local folder, named by their SHA-256."""
    lines: dict[str, int] = defaultdict(lambda: 1)
    examples = []
    for each in version.images:
        lines[each.table] += 1
        examples.append(
            Example(
                each.name,
                folder / each.digest,
                each.labels,
                each.group,
                Place(each.table, lines[each.table]),
                masks=tuple((name, folder / digest) for name, digest in each.masks.items()),
                digest=each.digest,
            )
        )
    is_grouped = any(each.group != group_of_table(each.table, each.name) for each in version.images)
    alone = sum(each.group == each.name for each in version.images)
    return Dataset(version.label_names, tuple(examples), warnings=(UNGROUPED,) if alone > 1 and not is_grouped else ())


def with_labels(dataset: Dataset, recipe: Recipe, on_problem: OnProblem) -> Dataset:
    """Return a dataset with the labels of a recipe, in the recipe's order.

    Raises:
        DatasetError: a label is missing, no image is left, or (``stop``) the recipe lacks a label or an image has not
            exactly one of several labels that exclude each other.
    """
    if missing := [name for name in recipe.label_names if name not in dataset.label_names]:
        raise DatasetError([f"the dataset has no label {', '.join(missing)}: annotate it, or choose another recipe"])
    columns = [dataset.label_names.index(name) for name in recipe.label_names]
    examples = [
        replace(example, labels=tuple(example.labels[column] for column in columns)) for example in dataset.examples
    ]
    top = Place(examples[0].place.file, 1)
    unknown = [name for name in dataset.label_names if name not in recipe.label_names]
    problems = [Problem(top, unknown_labels(unknown))] if unknown else []
    if recipe.task is Task.EXCLUSIVE:
        for example in examples:
            if wrong := not_exclusive(recipe.label_names, example.labels):
                problems.append(Problem(example.place, wrong))
        examples = [example for example in examples if sum(example.labels) == 1]
    if problems and (on_problem == "stop" or not examples):
        raise DatasetError(problems)
    return replace(
        dataset,
        label_names=recipe.label_names,
        examples=tuple(examples),
        problems=(*dataset.problems, *problems),
    )


def export_version(version: DatasetVersion, store: ObjectStore, folder: Path) -> None:
    """Write a version as a folder that can be imported again: its tables, images and masks.

    Raises:
        DatasetVersionError: an image or a mask is missing or has changed.
        StorageError: of the storage itself.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for table, content in tables_of(version).items():
        (folder / table).write_bytes(content)

    def fetch(image: LabelledImage) -> None:
        for path, (name, digest) in zip((f"{IMAGES}/{image.name}", *image.masks), _files_of(image), strict=True):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(get_image(store, version, name, digest))

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(fetch, version.images))


def tables_of(version: DatasetVersion) -> dict[str, bytes]:
    """Return the tables of an export, by file, with ``groups.csv`` and ``labelled.csv`` where they say more."""
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


def _open(example: Example) -> tuple[LabelledImage | None, list[Problem]]:
    """Return an image as a version lists it, and the problems of its file and its masks."""

    def digest_of(path: Path) -> str:
        content = path.read_bytes()
        decode(content)
        return hashlib.sha256(content).hexdigest()

    try:
        digest = digest_of(example.image)
    except (OSError, UnreadableImage) as error:
        return None, [Problem(example.place, f"{example.name}: {error}")]
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
        table=example.place.file,
        labelled_by=example.labelled_by,
        labelled_at=example.labelled_at,
        masks=masks,
    )
    return image, problems


def _contradictions(images: Iterable[tuple[Example, LabelledImage]]) -> Iterator[str]:
    """Name the images with equal files and other labels or groups."""
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

    files: dict[str, tuple[Place, Path]] = {}
    for example, image in images:
        paths = {example.name: example.image, **dict(example.masks)}
        files |= {digest: (example.place, paths[name]) for name, digest in _files_of(image)}
    with ThreadPoolExecutor(THREADS) as pool:
        for done in [pool.submit(put, digest, *file) for digest, file in files.items()]:
            done.result()


def _files_of(image: LabelledImage) -> Iterator[tuple[str, str]]:
    """Yield the name and the SHA-256 of an image and of its masks."""
    yield image.name, image.digest
    yield from image.masks.items()

"""Find a dataset version, download it, and export it as a folder."""

from __future__ import annotations

from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from shared.contracts.dataset import (
    DatasetVersion,
    LabelledImage,
    get_image,
    newest_version,
    read_version,
    versions,
)
from shared.datasets.image_files import IMAGES
from shared.datasets.importing import THREADS, files_of
from shared.datasets.labelled_images import (
    GROUPS,
    LABELLED,
    UNGROUPED,
    Dataset,
    Example,
    OnProblem,
    group_of_table,
    not_exclusive_message,
    unknown_labels_message,
)
from shared.datasets.tables import DatasetError, Place, Problem, table_bytes
from shared.label_names import IMAGE_COLUMN, same_label
from shared.recipe import Recipe, Task
from shared.storage.port import ObjectNotFound, ObjectStore


def find_version(store: ObjectStore, reference: str) -> DatasetVersion:
    """Read the dataset version ``name@version``, or the newest version of the dataset ``name``.

    Raises:
        DatasetError: there is no such dataset or version.
        DatasetVersionError: the version can't be read.
        StorageError: object storage failed.
    """
    name, _, version = reference.partition("@")
    try:
        found = read_version(store, name, version) if version else newest_version(store, name)
    except ObjectNotFound:
        known = ", ".join(versions(store, name)) or "–"
        raise DatasetError([f"dataset {name!r} has no version {version!r}; there is {known}"]) from None
    if found is None:
        raise DatasetError(
            [
                f"there is no dataset {name!r} in object storage: make it from annotations on the dashboard, or import "
                "a folder (`dataset import`)"
            ]
        )
    return found


def download(version: DatasetVersion, store: ObjectStore, folder: Path) -> Dataset:
    """Download the images and masks of a version into a local folder, each once.

    Raises:
        DatasetVersionError: an image or a mask is missing or has changed.
        StorageError: object storage failed.
    """
    folder.mkdir(parents=True, exist_ok=True)

    def fetch(name: str, digest: str) -> None:
        (folder / digest).write_bytes(get_image(store, version, name, digest))

    files = {digest: name for image in version.images for name, digest in files_of(image)}
    with ThreadPoolExecutor(THREADS) as pool:
        for future in [pool.submit(fetch, name, digest) for digest, name in files.items()]:
            future.result()
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
    single_images = sum(each.group == each.name for each in version.images)
    warnings = (UNGROUPED,) if single_images > 1 and not is_grouped else ()
    return Dataset(version.label_names, tuple(examples), warnings=warnings)


def with_labels(dataset: Dataset, recipe: Recipe, on_problem: OnProblem) -> Dataset:
    """Return a dataset with the labels of a recipe, in the recipe's order.

    Raises:
        DatasetError: a label is missing, no image is left, or (``stop``) the recipe lacks a label, or an image does not
            have exactly one of the labels that exclude each other.
    """
    own_names = [same_label(name, dataset.label_names) for name in recipe.label_names]
    if missing := [name for name, own_name in zip(recipe.label_names, own_names, strict=True) if own_name is None]:
        raise DatasetError([f"the dataset has no label {', '.join(missing)}: annotate it, or choose another recipe"])
    columns = [dataset.label_names.index(name) for name in own_names if name is not None]
    others = [column for column, name in enumerate(dataset.label_names) if name not in own_names]
    unknown = [dataset.label_names[column] for column in others]
    examples = [
        replace(
            example,
            labels=tuple(example.labels[column] for column in columns),
            unknown=(*example.unknown, *(dataset.label_names[column] for column in others if example.labels[column])),
        )
        for example in dataset.examples
    ]
    top = Place(examples[0].place.file, 1)
    problems = [Problem(top, unknown_labels_message(unknown))] if unknown else []
    if recipe.task is Task.EXCLUSIVE:
        for example in examples:
            if wrong := not_exclusive_message(recipe.label_names, example.labels):
                problems.append(Problem(example.place, wrong, "exclusive"))
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
        StorageError: object storage failed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for table, content in tables_of(version).items():
        (folder / table).write_bytes(content)

    def fetch(image: LabelledImage) -> None:
        for path, (name, digest) in zip((f"{IMAGES}/{image.name}", *image.masks), files_of(image), strict=True):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(get_image(store, version, name, digest))

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(fetch, version.images))


def tables_of(version: DatasetVersion) -> dict[str, bytes]:
    """Return the tables of an export by file name; ``groups.csv`` and ``labelled.csv`` only if they are needed."""
    rows: dict[str, list[tuple[object, ...]]] = defaultdict(list)
    for each in version.images:
        rows[each.table].append((each.name, *each.labels))
    tables = {table: table_bytes((IMAGE_COLUMN, *version.label_names), lines) for table, lines in rows.items()}
    if any(each.group != group_of_table(each.table, each.name) for each in version.images):
        tables[GROUPS] = table_bytes((IMAGE_COLUMN, "group"), [(each.name, each.group) for each in version.images])
    labelled = [
        (each.name, each.labelled_by or "", each.labelled_at.isoformat() if each.labelled_at else "")
        for each in version.images
        if each.labelled_by or each.labelled_at
    ]
    if labelled:
        tables[LABELLED] = table_bytes((IMAGE_COLUMN, "by", "at"), labelled)
    return tables

"""Labelled images: a folder of tables, of images beside them, and of the groups that must not be split.

A table is ``labels.csv`` or ``<video>_data.csv``: a column ``name`` with the image's file, and one column per label
with True or False, separated by commas, semicolons or tabs. A leading column without a name (or named ``index``) is an
index that some tool wrote, and is ignored. Several tables in one folder are read together. Images lie in
``images/``, or beside the tables. ``groups.csv`` says which images belong together (``name,group``); without it,
those of a ``<video>_data.csv`` are one group. ``labelled.csv`` says who labelled them and when (``name,by,at``), where
that is known. Masks, where there are any, lie as `shared.explain.masks` says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Final, Literal

from services.trainer.datasets.tables import DatasetError, Place, Problem, Row, Table, read_table
from shared.contracts.dataset import is_image_name
from shared.explain.masks import mask_files

LABELS: Final = "labels.csv"
VIDEO_TABLE: Final = "_data.csv"
GROUPS: Final = "groups.csv"
LABELLED: Final = "labelled.csv"
IMAGES: Final = "images"
NAME: Final = "name"
INDEX_COLUMNS: Final = ("", "index", "unnamed: 0")
BOOLEANS: Final = {"true": True, "1": True, "false": False, "0": False}

SHOWN_OF_NAME: Final = 40
"""Characters of a name that is too long."""
UNGROUPED: Final = (
    f"no {GROUPS}: each image is taken for a part of its own; where several show the same part, say so in {GROUPS} "
    "(name,group), or they are on both sides of the split, and the evaluation flatters"
)

OnProblem = Literal["stop", "skip"]
"""Whether a wrong row is an error, or is left out and listed."""


@dataclass(frozen=True)
class Example:
    """One labelled image."""

    name: str
    image: Path
    labels: tuple[bool, ...]
    """In the order of the dataset's label names."""
    group: str
    place: Place
    """The row that lists it."""
    labelled_by: str | None = None
    labelled_at: datetime | None = None
    masks: tuple[tuple[str, Path], ...] = ()
    """Its masks: path below the folder, and the file."""
    digest: str = ""
    """SHA-256 of the image's file, in hexadecimal; empty if the file has not been read."""


@dataclass(frozen=True)
class Dataset:
    """Labelled images of one product."""

    label_names: tuple[str, ...]
    examples: tuple[Example, ...]
    problems: tuple[Problem, ...] = ()
    """Rows that were left out."""
    warnings: tuple[str, ...] = ()
    """What is usable, but perhaps not meant."""

    @property
    def groups(self) -> int:
        """The number of groups."""
        return len({example.group for example in self.examples})


def read_dataset(
    folder: Path, label_names: Sequence[str] = (), *, exclusive: bool = False, on_problem: OnProblem = "stop"
) -> Dataset:
    """Read a folder of labelled images. The images are not opened.

    Args:
        folder: with the tables.
        label_names: the labels of the recipe, in its order; empty for those of the first table.
        exclusive: exactly one label of each image must be true.
        on_problem: what happens to a wrong row.

    Raises:
        DatasetError: there is no table, a label of the recipe has no column, no image is left, or (``stop``) a row is
            wrong.
    """
    tables = [read_table(path, (NAME,)) for path in find_tables(folder)]
    names = tuple(label_names) or label_columns(tables[0])
    reader = _Reader(folder, names, exclusive=exclusive)
    for table in tables:
        reader.read(table)
    if reader.problems and on_problem == "stop":
        raise DatasetError(reader.problems)
    if not reader.examples:
        raise DatasetError([*reader.problems, f"{folder}: no image to learn from"])
    return Dataset(names, tuple(reader.examples.values()), tuple(reader.problems), reader.warnings)


def find_tables(folder: Path) -> list[Path]:
    """Return the tables of a folder, in the order of their names.

    Raises:
        DatasetError: there is none.
    """
    found = sorted(path for path in folder.glob("*.csv") if is_table(path.name))
    if not found:
        what = "no table" if folder.is_dir() else "no such folder"
        raise DatasetError([f"{folder}: {what}: put {LABELS} or <video>{VIDEO_TABLE} there, with name and labels"])
    return found


def is_table(name: str) -> bool:
    """Return whether a file is a table of labels, by its name."""
    return "/" not in name and (name == LABELS or name.endswith(VIDEO_TABLE))


def label_columns(table: Table) -> tuple[str, ...]:
    """Return the columns of a table that are labels."""
    leading = 1 if table.columns and table.columns[0].lower() in INDEX_COLUMNS else 0
    return tuple(column for column in table.columns[leading:] if column != NAME)


def group_of_table(table: str, name: str) -> str:
    """Return the group of an image without ``groups.csv``: the video of its table, or itself."""
    return table.removesuffix(VIDEO_TABLE) if table.endswith(VIDEO_TABLE) else name


def unknown_labels(names: Sequence[str]) -> str:
    """Write the problem that a recipe lacks some labels."""
    return f"the recipe has no label {', '.join(names)}: remove the column, or add the label to the recipe"


def not_exclusive(names: Sequence[str], labels: Sequence[bool]) -> str:
    """Write the problem that not exactly one label is true; empty where one is."""
    if sum(labels) == 1:
        return ""
    true = [name for name, value in zip(names, labels, strict=True) if value]
    return f"{' and '.join(true) or 'no label'} is true, and the recipe wants exactly one"


class _WrongRow(ValueError):
    """A row can't be used; the message says why."""


class _Reader:
    """Collects the examples of one folder, and the problems of its tables."""

    def __init__(self, folder: Path, names: tuple[str, ...], *, exclusive: bool) -> None:
        self.examples: dict[str, Example] = {}
        self.problems: list[Problem] = []
        self._folder = folder
        self._names = names
        self._exclusive = exclusive
        self._images = folder / IMAGES if (folder / IMAGES).is_dir() else folder
        self._groups = self._read_groups(folder / GROUPS)
        self._labelled = self._read_labelled(folder / LABELLED)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What may be wrong with the whole folder."""
        alone = sum(each.group == each.name for each in self.examples.values())
        return (UNGROUPED,) if self._groups is None and alone > 1 else ()

    def read(self, table: Table) -> None:
        """Add the rows of a table."""
        missing = [name for name in (NAME, *self._names) if name not in table.columns]
        if missing or not self._names:
            wanted, there = ", ".join(missing) or "a label", ", ".join(filter(None, table.columns)) or "none"
            text = f"no column for {wanted}: the first line names {NAME} and each label, and its columns are {there}"
            raise DatasetError([Problem(table.top, text)])
        unknown = [name for name in label_columns(table) if name not in self._names]
        if unknown:
            self.problems.append(Problem(table.top, unknown_labels(unknown)))
        self.problems.extend(table.problems)
        for row in table.rows:
            try:
                self._add(row, table)
            except _WrongRow as wrong:
                self.problems.append(Problem(row.place, str(wrong)))

    def _add(self, row: Row, table: Table) -> None:
        name = row.cells[NAME]
        for label in self._names:
            if row.cells[label].lower() not in BOOLEANS:
                raise _WrongRow(f"{label} is {row.cells[label]!r}: write True or False")
        labels = tuple(BOOLEANS[row.cells[label].lower()] for label in self._names)
        if self._exclusive and (wrong := not_exclusive(self._names, labels)):
            raise _WrongRow(wrong)
        before = self.examples.get(name)
        if before:
            what = "is listed twice" if before.labels == labels else "is labelled otherwise"
            raise _WrongRow(f"{name} {what}, see {before.place}: keep one of the two")
        by, at = self._labelled.get(name, (None, None))
        image, group = self._image(name), self._group(name, table)
        masks = tuple(mask_files(self._folder, name, self._names))
        self.examples[name] = Example(name, image, labels, group, row.place, by, at, masks)

    def _image(self, name: str) -> Path:
        if not is_image_name(name):
            raise _WrongRow(f"{name!r} is no name of an image in {self._images.name}")
        if name != (plain := str(PurePosixPath(name))):
            raise _WrongRow(f"{name!r} is another name of {plain!r}: write it so")
        image = self._images / name
        try:
            there = image.is_file()
        except OSError as error:
            raise _WrongRow(f"{name[:SHOWN_OF_NAME]} can't be looked for ({error.strerror}): rename it") from error
        if not there:
            raise _WrongRow(f"{name} is not there: put it into {self._images}, or remove the row")
        return image

    def _group(self, name: str, table: Table) -> str:
        if self._groups is None:
            return group_of_table(table.file, name)
        if name not in self._groups:
            raise _WrongRow(f"{name} has no group: add it to {GROUPS}")
        return self._groups[name]

    def _read_groups(self, path: Path) -> dict[str, str] | None:
        if not path.is_file():
            return None
        table = read_table(path, (NAME, "group"))
        self.problems.extend(table.problems)
        if not {NAME, "group"} <= set(table.columns):
            raise DatasetError([Problem(table.top, "no column for name or group: the first line is name,group")])
        groups: dict[str, str] = {}
        for row in table.rows:
            name, group = row.cells[NAME], row.cells["group"]
            if not group or groups.setdefault(name, group) != group:
                what = f"is in {groups[name]!r} already" if group else "has no group"
                self.problems.append(Problem(row.place, f"{name} {what}: give it one group"))
        return groups

    def _read_labelled(self, path: Path) -> dict[str, tuple[str | None, datetime | None]]:
        if not path.is_file():
            return {}
        table = read_table(path, (NAME, "by", "at"))
        self.problems.extend(table.problems)
        if not {NAME, "by", "at"} <= set(table.columns):
            raise DatasetError([Problem(table.top, "no column for name, by or at: the first line is name,by,at")])
        labelled: dict[str, tuple[str | None, datetime | None]] = {}
        for row in table.rows:
            try:
                labelled[row.cells[NAME]] = (row.cells["by"] or None, _moment(row.cells["at"]))
            except ValueError:
                text = f"at is {row.cells['at']!r}: write a time with its zone, such as 2026-01-31T12:00:00+00:00"
                self.problems.append(Problem(row.place, text))
        return labelled


def _moment(text: str) -> datetime | None:
    """A time in ISO 8601; none where the cell is empty.

    Raises:
        ValueError: it is none, or has no zone.
    """
    if not text:
        return None
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time without a zone")
    return moment

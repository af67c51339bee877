"""Labelled images: a folder of tables, of images beside them, and of the groups that must not be split.

A table is ``labels.csv`` or ``<video>_data.csv``: a column ``name`` with the image's file, and one column per label
with True or False, separated by commas, semicolons or tabs. A leading column without a name (or named ``index``) is an
index that some tool wrote, and is ignored. Several tables in one folder are read together. Images lie in
``images/``, or beside the tables. ``groups.csv`` says which images belong together (``name,group``); without it,
those of a ``<video>_data.csv`` are one group. ``labelled.csv`` says who labelled them and when (``name,by,at``), where
that is known. Masks, where there are any, lie as `shared.datasets.mask_files` says.

A name that differs from its file in capitals, ending, folders or the form of Unicode is taken, where it can mean one
file alone (`shared.datasets.image_files`). What other tools write is read by `shared.datasets.formats`.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Final, Literal

from shared.datasets.image_files import ImageFile, ImageFiles, NoSuchImage, images_folder
from shared.datasets.mask_files import BY_LABEL, TOGETHER, TRUTH, MaskFiles
from shared.datasets.tables import DatasetError, Place, Problem, Row, Table, ranges_of, read_table
from shared.label_names import IMAGE_COLUMN, LONGEST_LABEL, MOST_LABELS, label_name, same_label
from shared.recipe import Task

LABELS: Final = "labels.csv"
VIDEO_TABLE: Final = "_data.csv"
GROUPS: Final = "groups.csv"
LABELLED: Final = "labelled.csv"
NOT_TABLES: Final = frozenset({GROUPS, LABELLED, "train.csv", "valid.csv", "test.csv"})
"""CSV files beside the tables of labels."""
NAME: Final = IMAGE_COLUMN
NAME_COLUMNS: Final = (
    "name", "filename", "file_name", "file", "image", "image_name", "path", "image_path", "img", "imagename",
    "file_path", "filepath", "image_file", "dateiname", "datei", "bild", "bildname", "image_id", "imageid",
)  # fmt: skip
"""Columns that name the image, in lower case; the first of them that a table has is taken."""
INDEX_COLUMNS: Final = ("", "index", "unnamed: 0")
TRUE: Final = frozenset(
    {"true", "t", "yes", "y", "x", "✓", "✔", "☑", "ja", "j", "wahr", "oui", "vrai", "sí", "si", "verdadero", "vero",
     "verdadeiro", "sim", "waar", "prawda", "tak", "pravda", "ano", "да", "истина", "是"}
)  # fmt: skip
"""Cells that are True, in lower case, as spreadsheets and people of several languages write them."""
FALSE: Final = frozenset(
    {"false", "f", "no", "n", "-", "✗", "✘", "✕", "☐", "nein", "falsch", "non", "faux", "falso", "não", "nao", "nee",
     "onwaar", "fałsz", "nie", "nepravda", "ne", "нет", "ложь", "否"}
)  # fmt: skip
NUMBER: Final = re.compile(r"(?P<digit>[01])([.,]0+)?")
"""1 or 0, as tools write it: 1.0, 0,00."""

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
    task: Task = Task.MULTI_LABEL
    """How the labels relate, as far as the data says it."""

    @property
    def groups(self) -> int:
        """The number of groups."""
        return len({example.group for example in self.examples})


def read_tables(
    folder: Path,
    tables: Sequence[Path],
    label_names: Sequence[str] = (),
    *,
    task: Task | None = None,
    on_problem: OnProblem = "stop",
) -> Dataset:
    """Read the tables of a folder of labelled images. The images are not opened.

    Args:
        folder: with the images.
        tables: the tables.
        label_names: the labels of the recipe, in its order; empty for those of the first table.
        task: whether exactly one label of each image must be true; None: the labels don't exclude each other.
        on_problem: what happens to a wrong row.

    Raises:
        DatasetError: there is no table, a label of the recipe has no column, no image is left, or (``stop``) a row is
            wrong.
    """
    if not tables:
        raise DatasetError([f"{folder}: there is no table of labels: put {LABELS} there, with name and labels"])
    read = [with_columns(read_table(path, (NAME,)), label_names) for path in tables]
    names = tuple(label_names) or checked_labels(label_columns(read[0]), read[0].top)
    exclusive = task is Task.EXCLUSIVE
    reader = _Reader(FolderTables(folder), names, exclusive=exclusive)
    for table in read:
        reader.read(table)
    return finished(
        names,
        reader.examples.values(),
        [*reader.problems, *reader.tables.problems],
        reader.warnings,
        folder=folder,
        on_problem=on_problem,
        task=task or Task.MULTI_LABEL,
    )


def finished(
    names: tuple[str, ...],
    examples: Iterable[Example],
    problems: Sequence[Problem],
    warnings: Iterable[str],
    *,
    folder: Path,
    on_problem: OnProblem,
    task: Task,
) -> Dataset:
    """Return the dataset of what was read.

    Raises:
        DatasetError: no image is left, or (``stop``) there is a problem.
    """
    found = tuple(examples)
    if problems and on_problem == "stop":
        raise DatasetError(problems)
    if not found:
        raise DatasetError([*problems, f"{folder}: no image to learn from"])
    return Dataset(names, found, tuple(problems), tuple(warnings), task)


def find_tables(folder: Path) -> list[Path]:
    """Return the tables of a folder, in the order of their names."""
    found = sorted(path for path in folder.glob("*") if path.is_file() and is_table(path.name))
    return found or sorted(path for path in folder.glob("*") if path.name.lower() == f"{LABELS}.txt")


def other_tables(folder: Path) -> list[Path]:
    """Return the CSV files of a folder under other names that have a column of images (such as `_classes.csv`)."""
    found = sorted(path for path in folder.glob("*.csv") if path.name.lower() not in NOT_TABLES)
    return [path for path in found if _names_images(path)]


def _names_images(path: Path) -> bool:
    try:
        return NAME in with_columns(read_table(path, (NAME,)), ()).columns
    except DatasetError:
        return False


def is_table(name: str) -> bool:
    """Return whether a file is a table of labels, by its name."""
    return "/" not in name and (name.lower() == LABELS or name.lower().endswith(VIDEO_TABLE))


def with_columns(table: Table, label_names: Sequence[str]) -> Table:
    """Return a table whose column of the images is called ``name``, and whose labels are written as in the recipe."""
    meant = {found: name for name in label_names if (found := same_label(name, table.columns))}
    if NAME not in table.columns:
        lower = {column.lower(): column for column in reversed(table.columns)}
        if column := next((lower[name] for name in NAME_COLUMNS if name in lower), None):
            meant[column] = NAME
    rows = tuple(
        Row(row.place, {meant.get(column, column): cell for column, cell in row.cells.items()}) for row in table.rows
    )
    return replace(table, columns=tuple(meant.get(column, column) for column in table.columns), rows=rows)


def label_columns(table: Table) -> tuple[str, ...]:
    """Return the columns of a table that are labels."""
    leading = 1 if table.columns and table.columns[0].lower() in INDEX_COLUMNS else 0
    return tuple(column for column in table.columns[leading:] if column != NAME)


def checked_labels(names: Sequence[str], place: Place) -> tuple[str, ...]:
    """Return names of labels as they are stored.

    Raises:
        DatasetError: a name can't be that of a label, or there are too many.
    """
    problems: list[Problem | str] = []
    if len(names) > MOST_LABELS:
        problems.append(Problem(place, f"{len(names)} labels: {MOST_LABELS} at most are read, so remove some"))
    checked = []
    for name in names:
        try:
            checked.append(label_name(name))
        except ValueError as error:
            shown = name if len(name) <= LONGEST_LABEL else f"{name[:LONGEST_LABEL]}…"
            problems.append(Problem(place, f"{shown!r}: {error}"))
    if problems:
        raise DatasetError(problems)
    return tuple(dict.fromkeys(checked))


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


class FolderTables:
    """The images of a folder, and what ``groups.csv`` and ``labelled.csv`` say about them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        root = images_folder(folder)
        self.files = ImageFiles(root, () if root != folder else (TOGETHER, BY_LABEL, TRUTH))
        self.masks = MaskFiles(folder)
        self.problems: list[Problem] = []
        self.groups = self._read_groups(folder / GROUPS)
        self._labelled = self._read_labelled(folder / LABELLED)

    def group(self, name: str) -> str | None:
        """Return the group of an image by ``groups.csv``; None if it names none."""
        return (self.groups or {}).get(name)

    def labelled(self, name: str) -> tuple[str | None, datetime | None]:
        """Return who labelled an image, and when, where ``labelled.csv`` says it."""
        return self._labelled.get(name, (None, None))

    def warnings(self, examples: Sequence[Example]) -> list[str]:
        """Warn of images that no row lists, of kinds that can't be read, and of missing groups."""
        used = {example.name for example in examples}
        found = [
            *left_out(self.files.images, used, "without a row, not used: label them, or remove them"),
            *left_out(
                self.masks.unused,
                set(),
                "in masks/ or masks_by_label/ of no image that is used: name them <image>.png or <image>_<label>.png",
            ),
            *left_out(self.files.others, used, "of a kind that can't be read: save them as JPEG or PNG"),
        ]
        alone = sum(each.group == each.name for each in examples)
        return [*found, UNGROUPED] if self.groups is None and alone > 1 else found

    def _name(self, given: str) -> str:
        try:
            return self.files.find(given).name
        except NoSuchImage:
            return given  # a table may say something about more images than there are

    def _read_groups(self, path: Path) -> dict[str, str] | None:
        if not path.is_file():
            return None
        table = read_table(path, (NAME, "group"))
        self.problems.extend(table.problems)
        if not {NAME, "group"} <= set(table.columns):
            raise DatasetError([Problem(table.top, "no column for name or group: the first line is name,group")])
        groups: dict[str, str] = {}
        for row in table.rows:
            name, group = self._name(row.cells[NAME]), row.cells["group"]
            if not group:
                self.problems.append(Problem(row.place, f"{name} has no group: give it one group", "no group"))
            elif groups.setdefault(name, group) != group:
                text = f"{name} is in {groups[name]!r} already: give it one group"
                self.problems.append(Problem(row.place, text, "two groups"))
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
                labelled[self._name(row.cells[NAME])] = (row.cells["by"] or None, _moment(row.cells["at"]))
            except ValueError:
                text = f"at is {row.cells['at']!r}: write a time with its zone, such as 2026-01-31T12:00:00+00:00"
                self.problems.append(Problem(row.place, text, "time"))
        return labelled


class Differences:
    """Collects the names that differ from their files, to say each kind of difference once."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, ...], list[tuple[str, str, Place]]] = defaultdict(list)

    def note(self, given: str, file: ImageFile, place: Place) -> None:
        """Note the difference of a name, if there is one."""
        if file.differences:
            self._found[file.differences].append((given, file.name, place))

    @property
    def warnings(self) -> list[str]:
        """One line for each kind of difference."""
        return [
            f"{len(names)} name{'s differ from their files' if len(names) > 1 else ' differs from its file'} in "
            f"{' and '.join(kind)} ({names[0][2].unit}s {ranges_of([place.line for _, _, place in names])} of "
            f"{names[0][2].file}: "
            f"{names[0][0]} is {names[0][1]}), and {'were' if len(names) > 1 else 'was'} taken"
            for kind, names in self._found.items()
        ]


class _WrongRow(ValueError):
    """A row can't be used; the message says why."""

    def __init__(self, text: str, cause: str) -> None:
        super().__init__(text)
        self.cause = cause


class _Reader:
    """Collects the examples of one folder, and the problems of its tables."""

    def __init__(self, tables: FolderTables, names: tuple[str, ...], *, exclusive: bool) -> None:
        self.examples: dict[str, Example] = {}
        self.problems: list[Problem] = []
        self.tables = tables
        self._names = names
        self._exclusive = exclusive
        self._differences = Differences()
        self._notes: list[str] = []

    @property
    def warnings(self) -> list[str]:
        """What may be wrong with the whole folder."""
        return [*self._notes, *self._differences.warnings, *self.tables.warnings([*self.examples.values()])]

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
        marked = [label for label in self._names if _is_marked(table, label)]
        if marked:
            self._notes.append(f"{table.file}: empty cells are False in {', '.join(marked)}, which hold no other False")
        for row in table.rows:
            try:
                self._add(row, table, marked)
            except _WrongRow as wrong:
                self.problems.append(Problem(row.place, str(wrong), wrong.cause))

    def _add(self, row: Row, table: Table, marked: Sequence[str]) -> None:
        labels = tuple(self._value(row, label, is_marked=label in marked) for label in self._names)
        if self._exclusive and (wrong := not_exclusive(self._names, labels)):
            raise _WrongRow(wrong, "exclusive")
        try:
            file = self.tables.files.find(row.cells[NAME])
        except NoSuchImage as error:
            raise _WrongRow(str(error), "no image") from error
        name = file.name
        before = self.examples.get(name)
        if before:
            what = "is listed twice" if before.labels == labels else "is labelled otherwise"
            raise _WrongRow(f"{name} {what}, see {before.place}: keep one of the two", what)
        self._differences.note(row.cells[NAME], file, row.place)
        by, at = self.tables.labelled(name)
        masks = tuple(self.tables.masks.of(name, self._names))
        group = self._group(name, table)
        self.examples[name] = Example(name, file.path, labels, group, row.place, by, at, masks)

    def _value(self, row: Row, label: str, *, is_marked: bool) -> bool:
        cell = row.cells[label]
        if is_marked and not cell:
            return False
        if (said := truth_of(cell)) is not None:
            return said
        raise _WrongRow(f"{label} is {row.cells[label]!r}: write True or False, or remove the column", f"cell {label}")

    def _group(self, name: str, table: Table) -> str:
        if self.tables.groups is None:
            return group_of_table(table.file, name)
        if (group := self.tables.group(name)) is None:
            raise _WrongRow(f"{name} has no group: add it to {GROUPS}", "no group")
        return group


def truth_of(cell: str) -> bool | None:
    """Return what a cell says; None where it says neither True nor False."""
    text = cell.lower()
    if number := NUMBER.fullmatch(text):
        return number["digit"] == "1"
    return True if text in TRUE else False if text in FALSE else None


def left_out(names: Sequence[str], used: set[str], why: str) -> list[str]:
    """Say in one line how many images are left out, and which is the first; nothing if there is none."""
    missing = [name for name in names if name not in used]
    if not missing:
        return []
    return [f"{len(missing)} image{'s' if len(missing) > 1 else ''} ({missing[0]}{', …' if missing[1:] else ''}) {why}"]


def _is_marked(table: Table, label: str) -> bool:
    """Return whether a column marks the images that have a label, and is empty for the others."""
    cells = {row.cells[label] for row in table.rows}
    return "" in cells and len(cells) > 1 and all(truth_of(cell) for cell in cells - {""})


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

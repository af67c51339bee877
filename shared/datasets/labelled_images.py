"""Read labelled images: a folder with tables of labels, the images, and the groups of images that are never divided.

A table is ``labels.csv`` or ``<video>_data.csv``. It has a column ``name`` with the image's file, and one column per
label with True or False, separated by commas, semicolons or tabs. A leading column without a name (or named ``index``)
is a row index, as tools such as pandas write it, and is ignored. Several tables in one folder are read together. Images
are in ``images/``, or beside the tables.

``groups.csv`` says which images belong together (``name,group``). Without it, the images of one ``<video>_data.csv``
are one group, and every other image is its own group. ``labelled.csv`` says who labelled each image and when
(``name,by,at``). `shared.datasets.mask_files` says where masks are.

A name is also accepted if it differs from the file's name in case, extension, folders or Unicode form, and can mean
exactly one file (`shared.datasets.image_files`). `shared.datasets.formats` reads the files of other tools.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Final, Literal, NamedTuple

from shared.datasets.image_files import ImageFile, ImageFiles, NoSuchImage, images_folder, in_any_case
from shared.datasets.mask_files import GROUND_TRUTH_FOLDER, MASKS_BY_LABEL_FOLDER, MASKS_FOLDER, MaskFiles
from shared.datasets.tables import DatasetError, Place, Problem, Row, Table, ranges_of, read_table
from shared.label_names import IMAGE_COLUMN, LONGEST_LABEL, MOST_LABELS, label_name, same_label, written_alike
from shared.recipe import Task

LABELS: Final = "labels.csv"
VIDEO_TABLE: Final = "_data.csv"
GROUPS: Final = "groups.csv"
LABELLED: Final = "labelled.csv"
NOT_TABLES: Final = frozenset({GROUPS, LABELLED, "train.csv", "valid.csv", "test.csv"})
"""CSV files that are not tables of labels."""
IMAGE_COLUMN_ALIASES: Final = (
    "name", "filename", "file_name", "file", "image", "image_name", "path", "image_path", "img", "imagename",
    "file_path", "filepath", "image_file", "dateiname", "datei", "bild", "bildname", "image_id", "imageid",
)  # fmt: skip
"""Names of the column with the image's file, in lower case; the first of them that a table has is used."""
INDEX_COLUMNS: Final = ("", "index", "unnamed: 0")
TRUE_CELLS: Final = frozenset(
    {"true", "t", "yes", "y", "x", "✓", "✔", "☑", "ja", "j", "wahr", "oui", "vrai", "sí", "si", "verdadero", "vero",
     "verdadeiro", "sim", "waar", "prawda", "tak", "pravda", "ano", "да", "истина", "是"}
)  # fmt: skip
"""Cells that are True, in lower case, as spreadsheets and people of several languages write them."""
FALSE_CELLS: Final = frozenset(
    {"false", "f", "no", "n", "-", "✗", "✘", "✕", "☐", "nein", "falsch", "non", "faux", "falso", "não", "nao", "nee",
     "onwaar", "fałsz", "nie", "nepravda", "ne", "нет", "ложь", "否"}
)  # fmt: skip
ONE_OR_ZERO: Final = re.compile(r"(?P<digit>[01])([.,]0+)?")
"""1 or 0, also with decimals: 1.0, 0,00."""

UNGROUPED: Final = (
    f"no {GROUPS}: each image counts as its own group. If several images show the same part, list them in {GROUPS} "
    "(name,group). Otherwise they can be in both the training and the test split, and the evaluation is too good"
)

OnProblem = Literal["stop", "skip"]
"""What happens to a row that can't be used: it is an error, or it is left out and listed."""


@dataclass(frozen=True)
class Example:
    """One labelled image."""

    name: str
    image: Path
    labels: tuple[bool, ...]
    """Whether the image has each label, in the order of the dataset's label names."""
    group: str
    place: Place
    """The row that lists it."""
    labelled_by: str | None = None
    labelled_at: datetime | None = None
    masks: tuple[tuple[str, Path], ...] = ()
    """The masks of the image: path below the folder, and the file."""
    digest: str = ""
    """SHA-256 of the image's file, in hexadecimal; empty if the file has not been read."""
    unknown: tuple[str, ...] = ()
    """Labels that the image has and the recipe lacks."""
    given_labels: tuple[bool, ...] = ()
    """The labels of the image before they were reduced to whether the part is good; empty if they were not reduced."""


@dataclass(frozen=True)
class Dataset:
    """Labelled images of one product."""

    label_names: tuple[str, ...]
    examples: tuple[Example, ...]
    problems: tuple[Problem, ...] = ()
    """Rows that were left out."""
    warnings: tuple[str, ...] = ()
    """Notes on data that is used but may be a mistake."""
    task: Task = Task.MULTI_LABEL
    """Whether the labels exclude each other, if the format says it."""
    given_names: tuple[str, ...] = ()
    """The label names before the labels were reduced to whether a part is good; empty if they were not."""

    @property
    def group_count(self) -> int:
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
        folder: the folder that holds the images.
        tables: one table or more.
        label_names: the labels of the recipe, in its order; empty: the labels of the first table.
        task: whether exactly one label of each image must be true; None: the labels don't exclude each other.
        on_problem: what happens to a row that can't be used.

    Raises:
        DatasetError: there is no table, a label of the recipe has no column, no image is left, or (``stop``) a row is
            wrong.
    """
    if not tables:
        raise DatasetError([f"{folder}: there is no table of labels: put {LABELS} there, with name and labels"])
    renamed_tables = [rename_columns(read_table(path, (IMAGE_COLUMN,)), label_names) for path in tables]
    names = tuple(label_names) or normalise_labels(label_columns(renamed_tables[0]), renamed_tables[0].top)
    reader = _Reader(FolderIndex(folder), names, exclusive=task is Task.EXCLUSIVE)
    for table in renamed_tables:
        reader.read(table)
    return build_dataset(
        names,
        reader.examples.values(),
        [*reader.problems, *reader.index.problems],
        reader.warnings,
        folder=folder,
        on_problem=on_problem,
        task=task or Task.MULTI_LABEL,
    )


def build_dataset(
    names: tuple[str, ...],
    examples: Iterable[Example],
    problems: Sequence[Problem],
    warnings: Iterable[str],
    *,
    folder: Path,
    on_problem: OnProblem,
    task: Task,
) -> Dataset:
    """Return the dataset of the examples that were read.

    Raises:
        DatasetError: no image is left, or (``stop``) there is a problem.
    """
    all_examples = tuple(examples)
    if problems and on_problem == "stop":
        raise DatasetError(problems)
    if not all_examples:
        raise DatasetError([*problems, f"{folder}: no image to learn from"])
    return Dataset(names, all_examples, tuple(problems), tuple(warnings), task)


def find_tables(folder: Path) -> list[Path]:
    """Return the tables of a folder, in the order of their names.

    If there is none, return ``labels.csv.txt``: Windows gives this name to a file that was saved as ``labels.csv``.
    """
    tables = sorted(path for path in folder.glob("*") if path.is_file() and is_table(path.name))
    return tables or sorted(path for path in folder.glob("*") if path.name.lower() == f"{LABELS}.txt")


def other_tables(folder: Path) -> list[Path]:
    """Return the CSV files of a folder under other names that have an image column (such as `_classes.csv`)."""
    paths = sorted(path for path in folder.glob("*.csv") if path.name.lower() not in NOT_TABLES)
    return [path for path in paths if _has_image_column(path)]


def _has_image_column(path: Path) -> bool:
    try:
        return IMAGE_COLUMN in rename_columns(read_table(path, (IMAGE_COLUMN,)), ()).columns
    except DatasetError:
        return False


def is_table(name: str) -> bool:
    """Return whether a file is a table of labels, as its name says."""
    return "/" not in name and (name.lower() == LABELS or name.lower().endswith(VIDEO_TABLE))


def rename_columns(table: Table, label_names: Sequence[str]) -> Table:
    """Rename the image column of a table to ``name``, and the label columns to the names of the recipe's labels."""
    new_names: dict[str, str] = {}
    for label in label_names:
        column = same_label(label, table.columns)
        if column:
            new_names[column] = label
    if IMAGE_COLUMN not in table.columns:
        # reversed: of two columns that differ in case alone, the first one stays in the dict
        columns_by_lower_name = {column.lower(): column for column in reversed(table.columns)}
        aliases = [alias for alias in IMAGE_COLUMN_ALIASES if alias in columns_by_lower_name]
        if aliases:
            new_names[columns_by_lower_name[aliases[0]]] = IMAGE_COLUMN
    rows = tuple(
        Row(row.place, {new_names.get(column, column): cell for column, cell in row.cells.items()})
        for row in table.rows
    )
    return replace(table, columns=tuple(new_names.get(column, column) for column in table.columns), rows=rows)


def label_columns(table: Table) -> tuple[str, ...]:
    """Return the columns of a table that are labels."""
    leading = 1 if table.columns and table.columns[0].lower() in INDEX_COLUMNS else 0
    return tuple(column for column in table.columns[leading:] if column != IMAGE_COLUMN)


def normalise_labels(names: Sequence[str], place: Place) -> tuple[str, ...]:
    """Return names of labels in the form in which they are stored, each once.

    Raises:
        DatasetError: a text can't be the name of a label, or there are too many labels.
    """
    problems: list[Problem | str] = []
    if len(names) > MOST_LABELS:
        problems.append(Problem(place, f"{len(names)} labels: {MOST_LABELS} at most are read, so remove some"))
    normalised = []
    for name in names:
        try:
            normalised.append(label_name(name))
        except ValueError as error:
            shown = name if len(name) <= LONGEST_LABEL else f"{name[:LONGEST_LABEL]}…"
            problems.append(Problem(place, f"{shown!r} can't be the name of a label: {error}"))
    if problems:
        raise DatasetError(problems)
    return tuple(dict.fromkeys(normalised))


def group_of_table(table: str, name: str) -> str:
    """Return the group of an image without ``groups.csv``: the video of its table, or else the image's own name."""
    return table[: -len(VIDEO_TABLE)] if table.lower().endswith(VIDEO_TABLE) else name


def unknown_labels_message(names: Sequence[str]) -> str:
    """Return the message for labels that the recipe lacks."""
    return f"the recipe has no label {', '.join(names)}: remove the column, or add the label to the recipe"


def not_exclusive_message(names: Sequence[str], labels: Sequence[bool]) -> str:
    """Return the message for an image without exactly one true label; empty if exactly one label is true."""
    if sum(labels) == 1:
        return ""
    true_names = [name for name, value in zip(names, labels, strict=True) if value]
    if not true_names:
        return "no label is true, and the recipe wants exactly one"
    return f"{', '.join(true_names)} are true, and the recipe wants exactly one"


def repeated_image(earlier: Example, labels: Sequence[bool]) -> tuple[str, str]:
    """Return the message and the cause of a row with these labels whose image an earlier row lists."""
    if earlier.labels == tuple(labels):
        return f"{earlier.name} is listed twice, see {earlier.place}: keep one of the two", "is listed twice"
    return f"{earlier.name} has other labels, see {earlier.place}: keep one of the two", "has other labels"


class FolderIndex:
    """The image files and masks of a folder, and the content of its ``groups.csv`` and ``labelled.csv``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        root = images_folder(folder)
        mask_folders = (MASKS_FOLDER, MASKS_BY_LABEL_FOLDER, GROUND_TRUTH_FOLDER)
        self.files = ImageFiles(root, mask_folders if root == folder else ())
        self.masks = MaskFiles(folder)
        self.problems: list[Problem] = []
        self.groups = self._read_groups(_table_file(folder, GROUPS))
        self._labelled = self._read_labelled(_table_file(folder, LABELLED))

    def group(self, name: str) -> str | None:
        """Return the group of an image by ``groups.csv``; None if ``groups.csv`` does not list the image."""
        return (self.groups or {}).get(name)

    def labelled(self, name: str) -> tuple[str | None, datetime | None]:
        """Return who labelled an image and when, or None for each that ``labelled.csv`` does not say."""
        return self._labelled.get(name, (None, None))

    def warnings(self, examples: Sequence[Example]) -> list[str]:
        """Warn of images that no row lists, of kinds that can't be read, and of missing groups."""
        used = {example.name for example in examples}
        unused_images = [name for name in self.files.images if name not in used]
        unreadable_images = [name for name in self.files.others if name not in used]
        warnings = [
            *unused_images_warning(unused_images, "without a row, not used: label them, or remove them"),
            *unused_images_warning(
                self.masks.unused,
                "in masks/ or masks_by_label/ without an image that is used: "
                "rename them to <image>.png or <image>_<label>.png",
            ),
            *unused_images_warning(unreadable_images, "of a kind that can't be read: save them as JPEG or PNG"),
        ]
        if self.groups is not None:
            unlisted = [example.name for example in examples if example.name not in self.groups]
            return [
                *warnings,
                *unused_images_warning(
                    unlisted, f"that {GROUPS} does not list: each counts as its own group, so list them"
                ),
            ]
        if elsewhere := sorted(path for path in self.folder.rglob("*.csv") if path.name.lower() == GROUPS):
            place = elsewhere[0].relative_to(self.folder).as_posix()
            warnings.append(f"{place} is not read: move it to the top of the dataset's folder")
        single_images = sum(example.group == example.name for example in examples)
        return [*warnings, UNGROUPED] if single_images > 1 else warnings

    def _name(self, given: str) -> str:
        try:
            return self.files.find(given).name
        except NoSuchImage:
            return given  # the table may list images that do not exist

    def _read_groups(self, path: Path) -> dict[str, str] | None:
        if not path.is_file():
            return None
        table = rename_columns(read_table(path, (IMAGE_COLUMN, "group")), ())
        self.problems.extend(table.problems)
        if not {IMAGE_COLUMN, "group"} <= set(table.columns):
            raise DatasetError([Problem(table.top, "no column for name or group: the first line is name,group")])
        groups: dict[str, str] = {}
        for row in table.rows:
            name, group = self._name(row.cells[IMAGE_COLUMN]), written_alike(row.cells["group"])
            if not group:
                self.problems.append(Problem(row.place, f"{name} has no group: add one", "no group"))
            elif groups.setdefault(name, group) != group:
                text = f"{name} is in {groups[name]!r} already: give it one group"
                self.problems.append(Problem(row.place, text, "two groups"))
        return groups

    def _read_labelled(self, path: Path) -> dict[str, tuple[str | None, datetime | None]]:
        if not path.is_file():
            return {}
        table = rename_columns(read_table(path, (IMAGE_COLUMN, "by", "at")), ())
        self.problems.extend(table.problems)
        if not {IMAGE_COLUMN, "by", "at"} <= set(table.columns):
            raise DatasetError([Problem(table.top, "no column for name, by or at: the first line is name,by,at")])
        labelled: dict[str, tuple[str | None, datetime | None]] = {}
        for row in table.rows:
            try:
                labelled[self._name(row.cells[IMAGE_COLUMN])] = (row.cells["by"] or None, _parse_time(row.cells["at"]))
            except ValueError:
                text = f"at is {row.cells['at']!r}: write a time with its zone, such as 2026-01-31T12:00:00+00:00"
                self.problems.append(Problem(row.place, text, "time"))
        return labelled


def _table_file(folder: Path, name: str) -> Path:
    """Return the path of a table, in any case, and with the ``.txt`` that Windows adds to its name."""
    path = in_any_case(folder, name)
    return path if path.is_file() else in_any_case(folder, f"{name}.txt")


class DifferentName(NamedTuple):
    """A name that differs from the name of its file."""

    given: str
    file_name: str
    place: Place


class NameDifferences:
    """Collects the names that differ from their files, to warn once of each kind of difference."""

    def __init__(self) -> None:
        self._names: dict[tuple[str, ...], list[DifferentName]] = defaultdict(list)

    def note(self, given: str, file: ImageFile, place: Place) -> None:
        """Note a name if it differs from its file."""
        if file.differences:
            self._names[file.differences].append(DifferentName(given, file.name, place))

    @property
    def warnings(self) -> list[str]:
        """One line for each kind of difference."""
        lines = []
        for kinds, names in self._names.items():
            first = names[0]
            differ = f"{len(names)} names differ from their files" if len(names) > 1 else "1 name differs from its file"
            accepted = "were accepted" if len(names) > 1 else "was accepted"
            rows = f"{first.place.unit}s {ranges_of(name.place.line for name in names)}"
            example = f"{first.given} is {first.file_name}"
            lines.append(f"{differ} in {', '.join(kinds)} ({first.place.file}, {rows}: {example}), and {accepted}")
        return lines


class _WrongRow(ValueError):
    """A row can't be used; the message says why."""

    def __init__(self, text: str, cause: str) -> None:
        super().__init__(text)
        self.cause = cause


class _Reader:
    """Collects the examples of one folder, and the problems of its tables."""

    def __init__(self, index: FolderIndex, names: tuple[str, ...], *, exclusive: bool) -> None:
        self.examples: dict[str, Example] = {}
        self.problems: list[Problem] = []
        self.index = index
        self._names = names
        self._exclusive = exclusive
        self._differences = NameDifferences()
        self._notes: list[str] = []

    @property
    def warnings(self) -> list[str]:
        """Warnings about the folder: empty cells, names that differ from their files, unused images, missing groups."""
        return [*self._notes, *self._differences.warnings, *self.index.warnings([*self.examples.values()])]

    def read(self, table: Table) -> None:
        """Add the rows of a table."""
        missing = [name for name in (IMAGE_COLUMN, *self._names) if name not in table.columns]
        if missing or not self._names:
            columns = ", ".join(filter(None, table.columns)) or "–"
            text = (
                f"no column for {', '.join(missing or ['LABEL'])}: the first line names {IMAGE_COLUMN} and each label, "
                f"and its columns are {columns}"
            )
            raise DatasetError([Problem(table.top, text)])
        unknown = [name for name in label_columns(table) if name not in self._names]
        if unknown:
            self.problems.append(Problem(table.top, unknown_labels_message(unknown)))
        self.problems.extend(table.problems)
        tick_columns = [label for label in self._names if _is_tick_column(table, label)]
        if tick_columns:
            self._notes.append(
                f"{table.file}: empty cells count as False in {', '.join(tick_columns)}, "
                "because all other cells there are True"
            )
        for row in table.rows:
            try:
                self._add(row, table, tick_columns, unknown)
            except _WrongRow as wrong:
                self.problems.append(Problem(row.place, str(wrong), wrong.cause))

    def _add(self, row: Row, table: Table, tick_columns: Sequence[str], unknown: Sequence[str]) -> None:
        labels = tuple(self._value(row, label, is_tick=label in tick_columns) for label in self._names)
        if self._exclusive and (wrong := not_exclusive_message(self._names, labels)):
            raise _WrongRow(wrong, "exclusive")
        try:
            file = self.index.files.find(row.cells[IMAGE_COLUMN])
        except NoSuchImage as error:
            raise _WrongRow(str(error), "no image") from error
        name = file.name
        earlier = self.examples.get(name)
        if earlier:
            raise _WrongRow(*repeated_image(earlier, labels))
        self._differences.note(row.cells[IMAGE_COLUMN], file, row.place)
        labelled_by, labelled_at = self.index.labelled(name)
        masks = tuple(self.index.masks.of(name, self._names))
        group = self._group(name, table)
        others = tuple(label for label in unknown if truth_of(row.cells[label]))
        self.examples[name] = Example(
            name, file.path, labels, group, row.place, labelled_by, labelled_at, masks, unknown=others
        )

    def _value(self, row: Row, label: str, *, is_tick: bool) -> bool:
        cell = row.cells[label]
        if is_tick and not cell:
            return False
        if (value := truth_of(cell)) is not None:
            return value
        raise _WrongRow(f"{label} is {row.cells[label]!r}: write True or False, or remove the column", f"cell {label}")

    def _group(self, name: str, table: Table) -> str:
        if self.index.groups is None:
            return group_of_table(table.file, name)
        if (group := self.index.group(name)) is None:
            raise _WrongRow(f"{name} has no group: add it to {GROUPS}", "no group")
        return group


def truth_of(cell: str) -> bool | None:
    """Return the truth value that a cell states; None if it states neither True nor False."""
    text = cell.lower()
    if number := ONE_OR_ZERO.fullmatch(text):
        return number["digit"] == "1"
    return True if text in TRUE_CELLS else False if text in FALSE_CELLS else None


def unused_images_warning(names: Sequence[str], reason: str) -> list[str]:
    """Return one line with the number of unused images, the first name and the reason; no line for no names."""
    if not names:
        return []
    return [f"{len(names)} image{'s' if len(names) > 1 else ''} ({names[0]}{', …' if names[1:] else ''}) {reason}"]


def _is_tick_column(table: Table, label: str) -> bool:
    """Return whether a column has only ticks (cells that are True) and empty cells, and at least one of each."""
    cells = {row.cells[label] for row in table.rows}
    return "" in cells and len(cells) > 1 and all(truth_of(cell) for cell in cells - {""})


def _parse_time(text: str) -> datetime | None:
    """Return the time in a cell; None if the cell is empty.

    Raises:
        ValueError: the text is not an ISO 8601 time with a zone.
    """
    if not text:
        return None
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time without a zone")
    return moment

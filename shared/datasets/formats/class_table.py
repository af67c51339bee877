"""A table with a class column: each row has an image and its class (also the CSV export of Label Studio)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from shared.datasets.annotations import AnnotatedImage, Annotations
from shared.datasets.labelled_images import NOT_TABLES, rename_columns, truth_of
from shared.datasets.tables import DatasetError, Problem, Row, Table, read_table
from shared.label_names import IMAGE_COLUMN

KIND: Final = "a table of classes"
CLASS_COLUMNS: Final = frozenset(
    {"label", "labels", "class", "classes", "category", "choice", "choices", "target", "tag", "klasse", "kategorie"}
)
"""Names of a class column, in lower case."""
ANNOTATION_COLUMNS: Final = frozenset({"annotation_id", "annotator"})
"""Columns that only a table has whose rows are whole annotations of images."""


def find_class_tables(folder: Path, tables: Sequence[Path] = ()) -> list[Path]:
    """Return the tables of a folder that have an image column and a class column.

    Args:
        folder: the folder of the dataset.
        tables: the tables to check; empty: all CSV files of the folder.
    """
    paths = tables or sorted(path for path in folder.glob("*.csv") if path.name.lower() not in NOT_TABLES)
    return [path for path in paths if _class_column(_read(path))]


def read_class_tables(paths: Sequence[Path], folder: Path) -> Annotations:
    """Read tables of classes. Several rows of an image give it several labels, unless each is a whole annotation."""
    rows: dict[str, list[tuple[Row, frozenset[str]]]] = {}
    labels: dict[str, None] = {}
    problems: list[Problem] = []
    rows_are_annotations = False
    for path in paths:
        table = _read(path)
        column = _class_column(table)
        if table is None or column is None:
            continue
        rows_are_annotations |= bool(ANNOTATION_COLUMNS & set(table.columns))
        problems.extend(table.problems)
        for row in table.rows:
            classes = frozenset(classes_in(row.cells[column]))
            labels |= dict.fromkeys(sorted(classes))
            rows.setdefault(row.cells[IMAGE_COLUMN], []).append((row, classes))
    images = []
    for name, image_rows in rows.items():
        class_sets = {classes for _, classes in image_rows}
        if rows_are_annotations and len(class_sets) > 1:
            text = f"{name}: {len(image_rows)} annotations say different labels: keep one of them"
            problems.append(Problem(image_rows[1][0].place, text, "different annotations"))
            continue
        images.append(AnnotatedImage(name, image_rows[0][0].place, frozenset().union(*class_sets)))
    exclusive = all(len(image.labels) == 1 for image in images)
    source = ", ".join(path.relative_to(folder).as_posix() for path in paths)
    skipped = {"images with problems": len(rows) - len(images)}
    return Annotations(KIND, source, tuple(labels), tuple(images), tuple(problems), skipped, exclusive=exclusive)


def _read(path: Path) -> Table | None:
    try:
        return rename_columns(read_table(path, (IMAGE_COLUMN,)), ())
    except DatasetError:
        return None


def _class_column(table: Table | None) -> str | None:
    """Return the only column of `CLASS_COLUMNS`; None if there are several, or its cells are only True and False."""
    if table is None or IMAGE_COLUMN not in table.columns:
        return None
    columns = [column for column in table.columns if column.lower() in CLASS_COLUMNS]
    if len(columns) != 1:
        return None
    cells = {row.cells[columns[0]] for row in table.rows}
    return columns[0] if any(truth_of(cell) is None for cell in cells - {""}) else None


def classes_in(cell: str) -> Iterable[str]:
    """Return the classes in a cell: one class, or the JSON of several that Label Studio writes."""
    if cell.startswith(("{", "[")):
        try:
            content = json.loads(cell)
        except ValueError:
            return [cell]
        choices = content.get("choices") if isinstance(content, dict) else content
        if isinstance(choices, list):
            return [str(choice) for choice in choices]
    return [cell] if cell else []

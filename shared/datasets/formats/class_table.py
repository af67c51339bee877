"""A table with a column of classes: a row says the class of an image (also the CSV export of Label Studio)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from shared.datasets.annotations import AnnotatedImage, Annotations
from shared.datasets.labelled_images import NAME, NOT_TABLES, truth_of, with_columns
from shared.datasets.tables import DatasetError, Problem, Row, Table, read_table

KIND: Final = "a table of classes"
CLASS_COLUMNS: Final = frozenset(
    {"label", "labels", "class", "classes", "category", "choice", "choices", "target", "tag", "klasse", "kategorie"}
)
"""Columns that hold the class, in lower case."""
OF_ANNOTATIONS: Final = frozenset({"annotation_id", "annotator"})
"""Columns by which each row is a whole annotation of its image."""


def find_class_tables(folder: Path, tables: Sequence[Path] = ()) -> list[Path]:
    """Return the tables of a folder that have a column of images and one of classes.

    Args:
        folder: its CSV files are looked at, where ``tables`` is empty.
        tables: the tables to look at.
    """
    candidates = tables or sorted(path for path in folder.glob("*.csv") if path.name.lower() not in NOT_TABLES)
    return [path for path in candidates if _class_column(_read(path))]


def read_class_tables(paths: Sequence[Path], folder: Path) -> Annotations:
    """Read tables of classes. Several rows of an image give it several labels, unless each is a whole annotation."""
    rows: dict[str, list[tuple[Row, frozenset[str]]]] = {}
    labels: dict[str, None] = {}
    problems: list[Problem] = []
    whole = False
    for path in paths:
        table = _read(path)
        column = _class_column(table)
        if table is None or column is None:
            continue
        whole |= bool(OF_ANNOTATIONS & set(table.columns))
        problems.extend(table.problems)
        for row in table.rows:
            found = frozenset(classes_in(row.cells[column]))
            labels |= dict.fromkeys(sorted(found))
            rows.setdefault(row.cells[NAME], []).append((row, found))
    images = []
    for name, of_image in rows.items():
        sets = {found for _, found in of_image}
        if whole and len(sets) > 1:
            text = f"{name}: {len(of_image)} annotations say different labels: keep one of them"
            problems.append(Problem(of_image[1][0].place, text, "different annotations"))
            continue
        images.append(AnnotatedImage(name, of_image[0][0].place, frozenset().union(*sets)))
    exclusive = all(len(image.labels) == 1 for image in images)
    source = ", ".join(path.relative_to(folder).as_posix() for path in paths)
    left_out = {"images with problems": len(rows) - len(images)}
    return Annotations(KIND, source, tuple(labels), tuple(images), tuple(problems), left_out, exclusive=exclusive)


def _read(path: Path) -> Table | None:
    try:
        return with_columns(read_table(path, (NAME,)), ())
    except DatasetError:
        return None


def _class_column(table: Table | None) -> str | None:
    """Return the column of classes: the only one of `CLASS_COLUMNS`, if it holds something else than True and False."""
    if table is None or NAME not in table.columns:
        return None
    columns = [column for column in table.columns if column.lower() in CLASS_COLUMNS]
    if len(columns) != 1:
        return None
    cells = {row.cells[columns[0]] for row in table.rows}
    return columns[0] if any(truth_of(cell) is None for cell in cells - {""}) else None


def classes_in(cell: str) -> Iterable[str]:
    """Return the classes in a cell: one, or several as JSON, as Label Studio writes them."""
    if cell.startswith(("{", "[")):
        try:
            found = json.loads(cell)
        except ValueError:
            return [cell]
        if isinstance(found, dict):
            found = found.get("choices")
        if isinstance(found, list):
            return [str(each) for each in found]
    return [cell] if cell else []

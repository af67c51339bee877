"""Read CSV tables with the file and line of every row, for error messages; and write them."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path
from typing import Final

from services.trainer.errors import TrainerError

SHOWN: Final = 20
"""Problems that an error lists; the rest is counted."""
SEPARATORS: Final = ",;\t"
"""Spreadsheets write ``;`` where the decimal separator of their language is a comma."""


MOST_BYTES: Final = 64 * 2**20
MOST_COLUMNS: Final = 1_000


@dataclass(frozen=True)
class Place:
    """A line of a file (from 1)."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}"


@dataclass(frozen=True)
class Problem:
    """A problem at one place."""

    place: Place
    text: str

    def __str__(self) -> str:
        return f"{self.place}: {self.text}"


class DatasetError(TrainerError):
    """Labelled images can't be used; the message names each file and line."""

    def __init__(self, problems: Sequence[Problem | str]) -> None:
        shown = [str(problem) for problem in problems[:SHOWN]]
        more = [f"and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else []
        super().__init__("\n".join(shown + more))


@dataclass(frozen=True)
class Row:
    """One line of a table: its stripped cells by column."""

    place: Place
    cells: dict[str, str]


@dataclass(frozen=True)
class Table:
    """A CSV file with a header."""

    file: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    problems: tuple[Problem, ...] = ()
    """Lines with more cells than columns; they are not among the rows."""

    @property
    def top(self) -> Place:
        """The place of the header."""
        return Place(self.file, 1)


def read_table(path: Path, known: Sequence[str] = ()) -> Table:
    """Read a CSV file; empty lines are left out, and the missing cells of a short line are empty.

    Args:
        path: the file; its separator is the one of `SEPARATORS` that its header has most.
        known: columns that may be written in capitals.

    Raises:
        DatasetError: the file can't be read, is not text in UTF-8, has two columns of one name, or is too large.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise DatasetError([f"{path}: is larger than {MOST_BYTES // 2**20} MiB: it is no table of images"])
        with path.open(newline="", encoding="utf-8-sig") as lines:
            header = lines.readline()
            reader = csv.reader(chain([header], lines), delimiter=max(SEPARATORS, key=header.count))
            cells = [cell.strip() for cell in next(reader, [])]
            columns = tuple(cell.lower() if cell.lower() in known else cell for cell in cells)
            if len(columns) > MOST_COLUMNS:
                raise DatasetError([f"{path}: has {len(columns)} columns: {MOST_COLUMNS} at most are read"])
            found = [_row(Place(path.name, reader.line_num), columns, values) for values in reader if any(values)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError([f"{path}: can't be read as a table ({error}): save it as CSV in UTF-8"]) from error
    twice = [name for name, count in Counter(columns).items() if count > 1]
    if twice:
        raise DatasetError([Problem(Place(path.name, 1), f"two columns are named {twice[0]!r}: keep one")])
    rows = tuple(each for each in found if isinstance(each, Row))
    return Table(path.name, columns, rows, tuple(each for each in found if isinstance(each, Problem)))


def _row(place: Place, columns: tuple[str, ...], values: Sequence[str]) -> Row | Problem:
    cells = [value.strip() for value in values]
    if any(cells[len(columns) :]):
        text = (
            f"{len(cells)} cells under {len(columns)} columns: put what holds a separator in quotes, or remove a cell"
        )
        return Problem(place, text)
    return Row(place, dict(zip_longest(columns, cells[: len(columns)], fillvalue="")))


def written(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    """Write a table with ``True`` and ``False`` and without an index."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue().encode()

"""Read CSV tables with the file and line of every row, for error messages; and write them."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path
from typing import Final

from shared.label_names import written_alike

SHOWN: Final = 20
"""Lines of an error; further ones are counted."""
SAME: Final = 3
"""Problems of one cause that are listed one by one; more of them are one line."""
RANGES: Final = 6
"""Ranges of lines that such a line names."""
SEPARATORS: Final = ",;\t"
"""Spreadsheets write ``;`` where the decimal separator of their language is a comma."""
SEPARATOR_LINE: Final = re.compile(r'"?sep=(?P<separator>[,;\t|])"?\s*', re.IGNORECASE)
"""A first line by which a spreadsheet tells another one the separator."""
BLANK: Final = f"{SEPARATORS} "
"""What the cells of an empty line hold, also where it has other separators than the header."""
MOST_BYTES: Final = 64 * 2**20
MOST_COLUMNS: Final = 1_000


@dataclass(frozen=True)
class Place:
    """A line of a file (from 1), or another numbered thing in it."""

    file: str
    line: int
    unit: str = "line"

    def __str__(self) -> str:
        return f"{self.file}, {self.unit} {self.line}"


@dataclass(frozen=True)
class Problem:
    """A problem at one place."""

    place: Place
    text: str
    cause: str = ""
    """The same for all problems that one correction solves."""

    def __str__(self) -> str:
        return f"{self.place}: {self.text}"


class DatasetError(ValueError):
    """Labelled images can't be used; the message names each file and line."""

    def __init__(self, problems: Sequence[Problem | str]) -> None:
        super().__init__("\n".join(listed(problems)))


def listed(problems: Sequence[Problem | str]) -> list[str]:
    """Return a line for each problem, and one line for many of one cause; at most `SHOWN` of them."""
    causes: dict[Hashable, list[Problem | str]] = defaultdict(list)
    for number, problem in enumerate(problems):
        if isinstance(problem, Problem) and problem.cause:
            causes[problem.place.file, problem.cause].append(problem)
        else:
            causes[number].append(problem)
    lines: list[str] = []
    for same in causes.values():
        if len(same) <= SAME:
            lines.extend(map(str, same))
        else:
            places = [each.place for each in same if isinstance(each, Problem)]
            rows = ranges_of(place.line for place in places)
            lines.append(f"{same[0]} (and {len(same) - 1} more of this kind: {places[0].unit}s {rows})")
    more = len(lines) - SHOWN
    return [*lines[:SHOWN], f"and {more} more"] if more > 0 else lines


def ranges_of(numbers: Iterable[int]) -> str:
    """Write numbers as ranges: ``2 to 5, 9``; at most `RANGES` of them."""
    found: list[list[int]] = []
    for number in sorted(set(numbers)):
        if found and found[-1][-1] == number - 1:
            found[-1].append(number)
        else:
            found.append([number])
    written_ranges = [f"{each[0]} to {each[-1]}" if len(each) > 1 else f"{each[0]}" for each in found]
    return ", ".join([*written_ranges[:RANGES], *(["…"] if len(found) > RANGES else [])])


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
        path: the file, in UTF-8, or in UTF-16 with its mark; its separator is the one of `SEPARATORS` that its header
            has most, or the one that a first line ``sep=;`` names.
        known: columns that may be written in capitals.

    Raises:
        DatasetError: the file can't be read, is not text in UTF-8, has two columns of one name, or is too large.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise DatasetError([f"{path}: is larger than {MOST_BYTES // 2**20} MiB: it is no table of images"])
        with path.open("rb") as file:
            is_wide = file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
        with path.open(newline="", encoding="utf-16" if is_wide else "utf-8-sig") as lines:
            columns, found = _read(path.name, lines, known)
    except (OSError, UnicodeError, csv.Error) as error:
        raise DatasetError([f"{path}: can't be read as a table ({error}): save it as CSV in UTF-8"]) from error
    if len(columns) > MOST_COLUMNS:
        raise DatasetError([f"{path}: has {len(columns)} columns: {MOST_COLUMNS} at most are read"])
    twice = [name for name, count in Counter(columns).items() if count > 1]
    if twice:
        raise DatasetError([Problem(Place(path.name, 1), f"two columns are named {twice[0]!r}: keep one")])
    rows = tuple(each for each in found if isinstance(each, Row))
    return Table(path.name, columns, rows, tuple(each for each in found if isinstance(each, Problem)))


def _read(name: str, lines: Iterator[str], known: Sequence[str]) -> tuple[tuple[str, ...], list[Row | Problem]]:
    """Return the columns of a table, without nameless ones at its end, and its lines."""
    header, before = next(lines, ""), 0
    named = SEPARATOR_LINE.fullmatch(header)
    if named:
        header, before = next(lines, ""), 1
    separator = named["separator"] if named else max(SEPARATORS, key=header.count)
    reader = csv.reader(chain([header], lines), delimiter=separator)
    cells = [written_alike(cell) for cell in next(reader, [])]
    while cells and not cells[-1]:
        cells.pop()
    columns = tuple(cell.lower() if cell.lower() in known else cell for cell in cells)
    return columns, [
        row_of(Place(name, reader.line_num + before), columns, values)
        for values in reader
        if any(value.strip(BLANK) for value in values)
    ]


def row_of(place: Place, columns: tuple[str, ...], values: Sequence[str]) -> Row | Problem:
    cells = [value.strip() for value in values]
    if any(cells[len(columns) :]):
        text = (
            f"{len(cells)} cells under {len(columns)} columns: put what holds a separator in quotes, or remove a cell"
        )
        return Problem(place, text, "cells")
    return Row(place, dict(zip_longest(columns, cells[: len(columns)], fillvalue="")))


def written(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    """Write a table with ``True`` and ``False`` and without an index."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue().encode()

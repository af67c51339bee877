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

MOST_LINES: Final = 20
"""Most lines of an error; further lines are counted."""
MOST_OF_ONE_CAUSE: Final = 3
"""Most problems of one cause that get a line each; more problems get one line together."""
MOST_RANGES: Final = 6
"""Most ranges of numbers in one text."""
SEPARATORS: Final = ",;\t"
"""Separators of cells. Spreadsheets write ``;`` where the decimal separator of their language is a comma."""
SEPARATOR_LINE: Final = re.compile(r'"?sep=(?P<separator>[,;\t|])"?\s*', re.IGNORECASE)
"""A first line that names the separator, as spreadsheets write it."""
BLANK_CHARACTERS: Final = f"{SEPARATORS} "
"""Characters of the cells of an empty line; its separators may differ from those of the header."""
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
    """A key that all problems share which one correction solves."""

    def __str__(self) -> str:
        return f"{self.place}: {self.text}"


class DatasetError(ValueError):
    """Labelled images can't be used; the message names each file and line."""

    def __init__(self, problems: Sequence[Problem | str]) -> None:
        super().__init__("\n".join(problem_lines(problems)))


def problem_lines(problems: Sequence[Problem | str]) -> list[str]:
    """Return a line for each problem, but one line for many problems of one cause; at most `MOST_LINES`."""
    causes: dict[Hashable, list[Problem | str]] = defaultdict(list)
    for number, problem in enumerate(problems):
        if isinstance(problem, Problem) and problem.cause:
            causes[problem.place.file, problem.cause].append(problem)
        else:
            causes[number].append(problem)
    lines: list[str] = []
    for same_cause in causes.values():
        if len(same_cause) <= MOST_OF_ONE_CAUSE:
            lines.extend(map(str, same_cause))
        else:
            places = [problem.place for problem in same_cause if isinstance(problem, Problem)]
            rows = ranges_of(place.line for place in places)
            lines.append(f"{same_cause[0]} (and {len(same_cause) - 1} more of this kind: {places[0].unit}s {rows})")
    more = len(lines) - MOST_LINES
    return [*lines[:MOST_LINES], f"and {more} more"] if more > 0 else lines


def ranges_of(numbers: Iterable[int]) -> str:
    """Return numbers as ranges, such as ``2-5, 9``; at most `MOST_RANGES`."""
    ranges: list[list[int]] = []
    for number in sorted(set(numbers)):
        if ranges and ranges[-1][-1] == number - 1:
            ranges[-1].append(number)
        else:
            ranges.append([number])
    texts = [f"{each[0]}-{each[-1]}" if len(each) > 1 else f"{each[0]}" for each in ranges]
    return ", ".join([*texts[:MOST_RANGES], *(["…"] if len(texts) > MOST_RANGES else [])])


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
    """Problems of lines with more cells than columns; `rows` does not have these lines."""

    @property
    def top(self) -> Place:
        """The place of the header."""
        return Place(self.file, 1)


def read_table(path: Path, any_case: Sequence[str] = ()) -> Table:
    """Read a CSV file; empty lines are left out, and the missing cells of a short line are empty.

    Args:
        path: the file, in UTF-8, or in UTF-16 with its mark. Its separator is the one of `SEPARATORS` that its header
            has most often, or the one that a first line ``sep=;`` names.
        any_case: columns, in lower case, that the header may write in upper case.

    Raises:
        DatasetError: the file can't be read, is not text in UTF-8, has two columns of one name, or is too large.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise DatasetError([f"{path}: is larger than {MOST_BYTES // 2**20} MiB: a table of labels is smaller"])
        with path.open("rb") as file:
            is_wide = file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
        with path.open(newline="", encoding="utf-16" if is_wide else "utf-8-sig") as lines:
            columns, rows_and_problems = _read(path.name, lines, any_case)
    except (OSError, UnicodeError, csv.Error) as error:
        raise DatasetError([f"{path}: can't be read as a table ({error}): save it as CSV in UTF-8"]) from error
    if len(columns) > MOST_COLUMNS:
        raise DatasetError([f"{path}: has {len(columns)} columns: {MOST_COLUMNS} at most are read"])
    repeated = [name for name, count in Counter(columns).items() if count > 1]
    if repeated:
        raise DatasetError([Problem(Place(path.name, 1), f"two columns are named {repeated[0]!r}: keep one")])
    rows = tuple(row for row in rows_and_problems if isinstance(row, Row))
    problems = tuple(problem for problem in rows_and_problems if isinstance(problem, Problem))
    return Table(path.name, columns, rows, problems)


def _read(name: str, lines: Iterator[str], any_case: Sequence[str]) -> tuple[tuple[str, ...], list[Row | Problem]]:
    """Return the columns of a table, without nameless columns at its end, and its lines."""
    header, lines_before_header = next(lines, ""), 0
    separator_line = SEPARATOR_LINE.fullmatch(header)
    if separator_line:
        header, lines_before_header = next(lines, ""), 1
    separator = separator_line["separator"] if separator_line else max(SEPARATORS, key=header.count)
    reader = csv.reader(chain([header], lines), delimiter=separator)
    cells = [written_alike(cell) for cell in next(reader, [])]
    while cells and not cells[-1]:
        cells.pop()
    columns = tuple(cell.lower() if cell.lower() in any_case else cell for cell in cells)
    return columns, [
        row_of(Place(name, reader.line_num + lines_before_header), columns, values)
        for values in reader
        if any(value.strip(BLANK_CHARACTERS) for value in values)
    ]


def row_of(place: Place, columns: tuple[str, ...], values: Sequence[str]) -> Row | Problem:
    """Return the row of a line, or the problem that it has more cells than columns."""
    cells = [value.strip() for value in values]
    if any(cells[len(columns) :]):
        text = (
            f"{len(cells)} cells under {len(columns)} columns: "
            "put a cell that contains a separator in quotes, or remove a cell"
        )
        return Problem(place, text, "cells")
    return Row(place, dict(zip_longest(columns, cells[: len(columns)], fillvalue="")))


def table_bytes(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    """Return the content of a CSV file, with ``True`` and ``False`` and without an index."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue().encode()

"""CSV tables whose every row knows where it stands, so that an error can name the file and the line."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from services.trainer.errors import TrainerError

SHOWN: Final = 20
"""Problems that an error lists; the rest are counted."""


@dataclass(frozen=True)
class Place:
    """A file, and a line in it (from 1)."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}"


@dataclass(frozen=True)
class Problem:
    """What is wrong at one place."""

    place: Place
    text: str

    def __str__(self) -> str:
        return f"{self.place}: {self.text}"


class DatasetError(TrainerError):
    """Labelled pictures that can't be learned from; the message names each file and line."""

    def __init__(self, problems: Sequence[Problem | str]) -> None:
        shown = [str(problem) for problem in problems[:SHOWN]]
        more = [f"and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else []
        super().__init__("\n".join(shown + more))


@dataclass(frozen=True)
class Row:
    """One line of a table: its cells by their column, without spaces around them."""

    place: Place
    cells: dict[str, str]


@dataclass(frozen=True)
class Table:
    """A CSV file with a header."""

    file: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]

    @property
    def top(self) -> Place:
        """The header's place."""
        return Place(self.file, 1)


def read_table(path: Path) -> Table:
    """Read a CSV file; empty lines are passed over, and cells that a short line lacks are empty.

    Raises:
        DatasetError: it can't be read, is not text in UTF-8, or names two columns alike.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as lines:
            reader = csv.reader(lines)
            columns = tuple(cell.strip() for cell in next(reader, []))
            rows = tuple(
                Row(Place(path.name, reader.line_num), _cells(columns, values)) for values in reader if any(values)
            )
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError([f"{path}: can't be read as a table ({error}): save it as CSV in UTF-8"]) from error
    twice = [name for name, count in Counter(columns).items() if count > 1]
    if twice:
        raise DatasetError([Problem(Place(path.name, 1), f"two columns are named {twice[0]!r}: keep one")])
    return Table(path.name, columns, rows)


def _cells(columns: tuple[str, ...], values: list[str]) -> dict[str, str]:
    padded = values + [""] * (len(columns) - len(values))
    return dict(zip(columns, (value.strip() for value in padded), strict=False))


def written(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    """A table as a labelling tool writes it: ``True`` and ``False``, no index."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue().encode()

"""What is labelled, as tables and pictures: to take away, or as a dataset to learn from.

The table is the one that the first labelling tool wrote, ``<video>_data.csv``: the picture's name, then True or False
for each label. ``groups.csv`` says which pictures must not be split (film, part or batch), ``labelled.csv`` by whom
each was labelled and when.
"""

from __future__ import annotations

import csv
import io
import threading
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO, Final

from services.dashboard.labelling.films import plain_name
from services.dashboard.labelling.ledger import History, Ledger
from services.dashboard.labelling.records import Judged, Record
from services.dashboard.labelling.reels import UnreadableFilm
from services.dashboard.labelling.schemas import DatasetMade, DatasetOrder
from services.dashboard.labelling.service import LabellingService
from services.dashboard.labelling.sources import Source
from services.dashboard.labelling.work import judged_in
from services.dashboard.problems import Problem
from shared.dataset import FOLDER
from shared.storage.port import ObjectNotFound, ObjectStore

THREADS: Final = 8


@dataclass(frozen=True)
class Row:
    """One labelled picture."""

    source: Source
    frame: str
    judged: Judged | None
    record: Record
    values: tuple[bool, ...]
    """In the order of the recipe's labels."""

    @property
    def name(self) -> str:
        """Of its file: says where it is from."""
        film = self.source.film
        if self.judged is not None:
            return f"{self.frame}{PurePosixPath(self.judged.picture_key).suffix}"
        number = f"{self.source.name}_{int(self.frame):06d}"
        if film is None or film.kind == "video":
            return f"{number}.jpg"
        path = PurePosixPath(film.names[int(self.frame)])
        return f"{number}_{plain_name(path.name)}{path.suffix.lower()}"

    @property
    def group(self) -> str:
        """What must not be on two sides of a split: a film, a folder of an album, a part, a batch, or a minute."""
        if self.judged is not None:
            return _group_on_line(self.judged)
        film = self.source.film
        if film is None or film.kind == "video":
            return self.source.name
        folder = PurePosixPath(film.names[int(self.frame)]).parent
        return f"{self.source.name}/{folder}" if folder.name else self.name


@dataclass(frozen=True)
class Sheet:
    """All that is labelled of one source."""

    source: Source
    rows: Sequence[Row]
    left_out: int
    """Frames of which two people contradict each other."""
    missing: int
    """Labelled frames that lack a label of the recipe."""


class Exports:
    """Writes tables, archives and datasets."""

    def __init__(self, store: ObjectStore, labelling: LabellingService, ledger: Ledger) -> None:
        self._store = store
        self._labelling = labelling
        self._ledger = ledger
        self._making = threading.Lock()

    def sheet(self, source_id: str) -> Sheet:
        """What is labelled of a source.

        Raises:
            Problem: 404: there is no such source.
        """
        source = self._labelling.known_source(source_id)
        return _sheet(source, self._ledger.history(source.id))

    def table(self, sheet: Sheet) -> bytes:
        """The table as the first labelling tool wrote it."""
        names = sheet.source.recipe.label_names
        return written(("name", *names), ((row.name, *row.values) for row in sheet.rows))

    def archive(self, sheet: Sheet, into: IO[bytes]) -> None:
        """The table, with groups, authors and pictures, as a zip that a trainer reads when it is unpacked."""
        with zipfile.ZipFile(into, "w", zipfile.ZIP_STORED) as archive:
            rows = []
            for row in sheet.rows:
                if (content := self._picture(row)) is not None:
                    archive.writestr(f"images/{row.name}", content)
                    rows.append(row)
            there = Sheet(sheet.source, rows, sheet.left_out, sheet.missing)
            archive.writestr(f"{sheet.source.name}_data.csv", self.table(there))
            for name, content in beside(rows).items():
                archive.writestr(name, content)

    def make_dataset(self, order: DatasetOrder) -> DatasetMade:
        """Write tables and pictures below ``datasets/<name>/``, the table of labels last of all.

        Without that table there is no dataset, and with it all else is there: nobody trains on half of one. A name is
        taken once; whoever labelled more makes another dataset.

        Raises:
            Problem: 404: no such source; 409: the name is taken; 422: nothing is labelled, or by several recipes.
            StorageError: it was not made.
        """
        sheets = [self.sheet(source) for source in dict.fromkeys(order.sources)]
        _check_recipes(sheets)
        _check_names(sheets)
        prefix = f"{FOLDER}/{order.name}/"
        with self._making:
            if next(iter(self._store.keys(prefix)), None):
                raise Problem(409, f"name: there is something below {prefix} already: choose another name")
            rows = self._put_pictures([row for sheet in sheets for row in sheet.rows], prefix)
            if not rows:
                raise Problem(422, "sources: nothing is labelled there yet")
            self._put_tables(rows, sheets[0].source.recipe.label_names, prefix)
        return _made(prefix, sheets, rows)

    def _put_pictures(self, rows: Sequence[Row], prefix: str) -> list[Row]:
        def put(row: Row) -> Row | None:
            content = self._picture(row)
            if content is None:
                return None
            self._store.put(f"{prefix}images/{row.name}", content, _content_type(content))
            return row

        with ThreadPoolExecutor(THREADS) as pool:
            return [row for row in pool.map(put, rows) if row]

    def _put_tables(self, rows: Sequence[Row], names: Sequence[str], prefix: str) -> None:
        for name, content in beside(rows).items():
            self._store.put(f"{prefix}{name}", content, "text/csv")
        table = written(("name", *names), ((row.name, *row.values) for row in rows))
        self._store.put(f"{prefix}labels.csv", table, "text/csv")

    def _picture(self, row: Row) -> bytes | None:
        try:
            return self._labelling.file_of(row.source, row.frame, row.judged)
        except (UnreadableFilm, ObjectNotFound):
            return None


def beside(rows: Iterable[Row]) -> dict[str, bytes]:
    """The tables beside that of the labels."""
    listed = list(rows)
    authors = [(row.name, row.record.by, row.record.at.isoformat()) for row in listed]
    return {
        "groups.csv": written(("name", "group"), [(row.name, row.group) for row in listed]),
        "labelled.csv": written(("name", "by", "at"), authors),
    }


def written(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    """A table: ``True`` and ``False``, no index."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue().encode()


def _sheet(source: Source, history: History) -> Sheet:
    judged = judged_in(history)
    names = source.recipe.label_names
    holding = {frame: state.holds for frame, state in history.states.items()}
    whole = {frame: record for frame, record in holding.items() if record and set(names) <= record.labels.keys()}
    rows = [
        Row(source, frame, judged.get(frame), record, tuple(record.labels[name] for name in names))
        for frame, record in sorted(whole.items(), key=lambda item: _order(item[0]))
        if source.film is not None or frame in judged
    ]
    left_out = sum(state.contradiction for state in history.states.values())
    return Sheet(source, rows, left_out, sum(record is not None for record in holding.values()) - len(rows))


def _check_recipes(sheets: Sequence[Sheet]) -> None:
    first = sheets[0].source.recipe
    for sheet in sheets:
        recipe = sheet.source.recipe
        if (recipe.task, recipe.label_names) != (first.task, first.label_names):
            raise Problem(
                422, f"sources: recipe {recipe.name!r} has other labels than {first.name!r}: choose one recipe"
            )


def _check_names(sheets: Sequence[Sheet]) -> None:
    """Two dashboards may give two films one name at the same moment: in one dataset their pictures would be one."""
    count = Counter(row.name for sheet in sheets for row in sheet.rows)
    twice = [name for name, times in count.items() if times > 1]
    if twice:
        raise Problem(422, f"sources: two of them have a picture {twice[0]}: make a dataset of each")


def _made(prefix: str, sheets: Sequence[Sheet], rows: Sequence[Row]) -> DatasetMade:
    names = sheets[0].source.recipe.label_names
    true = Counter(name for row in rows for name, value in zip(names, row.values, strict=True) if value)
    listed = sum(len(sheet.rows) + sheet.missing for sheet in sheets)
    return DatasetMade(
        dataset=prefix.rstrip("/"),
        pictures=len(rows),
        groups=len({row.group for row in rows}),
        labels={name: true[name] for name in names},
        left_out=sum(sheet.left_out for sheet in sheets),
        missing=listed - len(rows),
    )


def _group_on_line(judged: Judged) -> str:
    frame = judged.frame
    place = "/".join(filter(None, (frame.line, frame.batch, frame.part)))
    if frame.batch or frame.part:
        return place
    return f"{frame.line}/{frame.camera}/{frame.captured_at:%Y-%m-%dT%H%M}"


def _order(frame: str) -> tuple[int, str]:
    return (int(frame), "") if frame.isdecimal() else (0, frame)


def _content_type(content: bytes) -> str:
    return "image/png" if content.startswith(b"\x89PNG") else "image/jpeg"


def chunks_of(file: IO[bytes], size: int = 1024 * 1024) -> Iterator[bytes]:
    """A file from its beginning, which is closed at its end."""
    with file:
        file.seek(0)
        while chunk := file.read(size):
            yield chunk

"""Datasets of what is labelled: built whole, or taken away again.

While it is built, ``datasets/<name>/building.json`` says so; ``labels.csv`` is written last, and makes it a dataset. A
name with the former and without the latter is one whose building broke off: it is free again.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog
from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError
from ulid import ULID

from services.dashboard.labelling.exports.export import BESIDE, Exports, Row, Sheet, beside, written
from services.dashboard.labelling.schemas import DatasetMade, DatasetOrder
from services.dashboard.labelling.videos.transfers import Transfers
from services.dashboard.web.problems import Problem
from shared.contracts.dataset import FOLDER
from shared.storage.port import ObjectNotFound, ObjectStore, StorageError

MARK: Final = "building.json"
TABLE: Final = "labels.csv"
IMAGES: Final = "images/"
WRITTEN: Final = (MARK, TABLE, *BESIDE)
ABANDONED: Final = timedelta(minutes=10)
"""Whoever builds says so again and again; after so long without a word nobody does."""
CHUNK: Final = 200
"""Images between two such words."""
THREADS: Final = 8

_log = structlog.stdlib.get_logger("labelling")


class Building(BaseModel):
    """That a dataset is being built, and by which process."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    builder: str
    at: AwareDatetime


class DatasetMaker:
    """Builds datasets, one after the other."""

    def __init__(self, store: ObjectStore, exports: Exports, transfers: Transfers) -> None:
        self._store = store
        self._exports = exports
        self._transfers = transfers
        self._id = str(ULID())
        self._making = threading.Lock()

    def make(self, order: DatasetOrder) -> DatasetMade:
        """Write tables and images below ``datasets/<name>/``, the table of labels last of all.

        Without that table there is no dataset, and with it all else is there: nobody trains on half of one. A name is
        taken once; whoever labelled more makes another dataset.

        Raises:
            Problem: 404: no such source; 409: the name is taken; 422: nothing is labelled, or by several recipes;
                503: as many as may are at it.
            StorageError: it was not made; what was written of it is taken away, now or when the name is asked for.
        """
        with self._transfers.place(), self._making:
            sheets = [self._exports.sheet(source) for source in dict.fromkeys(order.sources)]
            _check_recipes(sheets)
            _check_names(sheets)
            rows = [row for sheet in sheets for row in sheet.learnable]
            with self._claimed(prefix := f"{FOLDER}/{order.name}/"):
                there = self._put_images(rows, prefix)
                if not there:
                    raise Problem(422, "sources: nothing is labelled there yet")
                self._put_tables(there, sheets[0].source.recipe.label_names, prefix)
        return _made(prefix, sheets, there)

    @contextmanager
    def _claimed(self, prefix: str) -> Iterator[None]:
        """A name that is this builder's while the block runs, and free again when it fails."""
        self._check_free(prefix)
        self._mark(prefix)
        try:
            yield
        except BaseException:
            with _told(prefix):
                self._clear(prefix)
            raise
        with _told(prefix):
            self._store.delete(f"{prefix}{MARK}")

    def _check_free(self, prefix: str) -> None:
        """Take away what a building left that broke off.

        Raises:
            Problem: 409: somebody else's things are there, or somebody else is at it.
        """
        keys = set(self._store.keys(prefix))
        if not keys:
            return
        marked = self._marked(prefix)
        if marked is None or f"{prefix}{TABLE}" in keys or not all(_is_ours(key, prefix) for key in keys):
            raise Problem(409, f"name: there is something below {prefix} already: choose another name")
        if marked.builder != self._id and datetime.now(UTC) - marked.at < ABANDONED:
            raise Problem(
                409, f"name: {prefix} is being made right now: wait until it is there, or choose another name"
            )
        self._clear(prefix)
        _log.info("took away what was left of a dataset that was never finished", prefix=prefix, objects=len(keys))

    def _marked(self, prefix: str) -> Building | None:
        try:
            return Building.model_validate_json(self._store.get(f"{prefix}{MARK}"))
        except (ObjectNotFound, ValidationError):
            return None

    def _mark(self, prefix: str) -> None:
        said = Building(builder=self._id, at=datetime.now(UTC))
        self._store.put(f"{prefix}{MARK}", said.model_dump_json().encode(), "application/json")

    def _clear(self, prefix: str) -> None:
        """The table first, so that nobody finds half a dataset; the mark last, so that the rest can be found again.

        Versions that somebody brought in under the same name stay.
        """
        first, last = f"{prefix}{TABLE}", f"{prefix}{MARK}"
        others = [key for key in self._store.keys(prefix) if key not in (first, last) and _is_ours(key, prefix)]
        for key in (first, *others, last):
            self._store.delete(key)

    def _put_images(self, rows: Sequence[Row], prefix: str) -> list[Row]:
        def put(row: Row) -> Row | None:
            content = self._exports.image_of(row)
            if content is None:
                return None
            self._store.put(f"{prefix}{IMAGES}{row.name}", content, _content_type(content))
            return row

        there: list[Row] = []
        with ThreadPoolExecutor(THREADS) as pool:
            for start in range(0, len(rows), CHUNK):
                there += [row for row in pool.map(put, rows[start : start + CHUNK]) if row]
                self._mark(prefix)
        return there

    def _put_tables(self, rows: Sequence[Row], names: Sequence[str], prefix: str) -> None:
        for name, content in beside(rows).items():
            self._store.put(f"{prefix}{name}", content, "text/csv")
        table = written(("name", *names), ((row.name, *row.values) for row in rows))
        self._store.put(f"{prefix}{TABLE}", table, "text/csv")


def _is_ours(key: str, prefix: str) -> bool:
    """Whether a key below the prefix of a dataset is one that is written here."""
    name = key.removeprefix(prefix)
    return name in WRITTEN or name.startswith(IMAGES)


@contextmanager
def _told(prefix: str) -> Iterator[None]:
    """What can't be tidied now is tidied when the name is asked for again."""
    try:
        yield
    except StorageError as error:
        _log.warning("something is left of the building of a dataset", prefix=prefix, reason=str(error))


def _check_recipes(sheets: Sequence[Sheet]) -> None:
    first = sheets[0].source.recipe
    for sheet in sheets:
        recipe = sheet.source.recipe
        if (recipe.task, recipe.label_names) != (first.task, first.label_names):
            raise Problem(
                422, f"sources: recipe {recipe.name!r} has other labels than {first.name!r}: choose one recipe"
            )


def _check_names(sheets: Sequence[Sheet]) -> None:
    """Two dashboards may give two videos one name at the same moment: in one dataset their images would be one."""
    count = Counter(row.name for sheet in sheets for row in sheet.rows)
    twice = [name for name, times in count.items() if times > 1]
    if twice:
        raise Problem(422, f"sources: two of them have an image {twice[0]}: make a dataset of each")


def _made(prefix: str, sheets: Sequence[Sheet], rows: Sequence[Row]) -> DatasetMade:
    names = sheets[0].source.recipe.label_names
    true = Counter(name for row in rows for name, value in zip(names, row.values, strict=True) if value)
    listed = sum(len(sheet.learnable) + sheet.missing for sheet in sheets)
    return DatasetMade(
        dataset=prefix.rstrip("/"),
        images=len(rows),
        groups=len({row.group for row in rows}),
        labels={name: true[name] for name in names},
        left_out=sum(sheet.left_out for sheet in sheets),
        between=sum(len(sheet.rows) - len(sheet.learnable) for sheet in sheets),
        missing=listed - len(rows),
    )


def _content_type(content: bytes) -> str:
    return "image/png" if content.startswith(b"\x89PNG") else "image/jpeg"

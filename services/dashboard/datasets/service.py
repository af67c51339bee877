"""Datasets: read from object storage, where the trainer keeps them."""

from __future__ import annotations

import re
from contextlib import suppress
from functools import lru_cache
from typing import Final

from services.dashboard.datasets.schemas import DatasetList, DatasetVersionList, DatasetVersionView
from services.dashboard.problems import Problem
from shared.dataset import FOLDER, DatasetVersionError, datasets, read_version, versions
from shared.storage.port import ObjectNotFound, ObjectStore

TABLE: Final = re.compile(rf"{FOLDER}/(?P<name>[A-Za-z0-9][A-Za-z0-9_-]*)/(labels|[^/]+_data)\.csv")
"""Labels of pictures that lie below a prefix, as the trainer reads them."""


class DatasetsService:
    """What people may know of datasets."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        # versions never change; one that is not there raises, which is not kept: it may come, or be put back
        self._version = lru_cache(maxsize=500)(self._read)

    def names(self) -> DatasetList:
        """Those that have versions, and those that are tables."""
        found = (TABLE.fullmatch(key) for key in self._store.keys(f"{FOLDER}/"))
        tables = {match["name"] for match in found if match}
        return DatasetList(datasets=datasets(self._store), tables=sorted(tables))

    def versions(self, dataset: str) -> DatasetVersionList:
        """The versions of one; one that can't be read is left out.

        Raises:
            Problem: 404.
        """
        known = versions(self._store, dataset)
        if not known:
            raise Problem(404, f"there is no dataset {dataset!r}: GET /api/datasets lists them")
        views = []
        for version in reversed(known):
            with suppress(ObjectNotFound, DatasetVersionError):
                views.append(self._version(dataset, version))
        return DatasetVersionList(versions=views)

    def _read(self, dataset: str, version: str) -> DatasetVersionView:
        return DatasetVersionView.of(read_version(self._store, dataset, version))

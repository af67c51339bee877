"""Datasets: read from object storage."""

from __future__ import annotations

from contextlib import suppress
from functools import lru_cache

from services.dashboard.datasets.schemas import DatasetList, DatasetVersionList, DatasetVersionView
from services.dashboard.web.paging import ALL, Paging
from services.dashboard.web.problems import Problem
from shared.contracts.dataset import DatasetVersionError, datasets, read_version, versions
from shared.language import gettext
from shared.storage.port import InvalidKey, ObjectNotFound, ObjectStore


class DatasetsService:
    """Answers about datasets."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        # versions never change; a missing one raises, which is not cached: it may appear later

        @lru_cache(maxsize=500)
        def version_of(dataset: str, version: str) -> DatasetVersionView:
            return DatasetVersionView.of(read_version(store, dataset, version))

        self._version = version_of

    def names(self, paging: Paging = ALL) -> DatasetList:
        """Return the names of the datasets that have versions."""
        shown, more = paging.page(datasets(self._store), lambda name: (0, name))
        return DatasetList(datasets=shown, next=more)

    def version(self, reference: str) -> DatasetVersionView | None:
        """Return the version of a reference, ``name@version``, or the newest one of a name.

        None if there is none, as of a folder of the trainer, which may have any characters.
        """
        dataset, _, version = reference.partition("@")
        with suppress(ObjectNotFound, DatasetVersionError, InvalidKey):
            stored = versions(self._store, dataset)
            return self._version(dataset, version or stored[-1]) if stored else None
        return None

    def versions(self, dataset: str, paging: Paging = ALL) -> DatasetVersionList:
        """Return the versions of a dataset, newest first; a version that can't be read is left out.

        Raises:
            Problem: 404: there is no such dataset.
        """
        stored = versions(self._store, dataset)
        if not stored:
            raise Problem(
                404, gettext("there is no dataset %(dataset)r: GET /api/datasets lists them", dataset=dataset)
            )
        shown, more = paging.page(enumerate(stored), lambda numbered: (-numbered[0], numbered[1]))
        views = []
        for _, version in shown:
            with suppress(ObjectNotFound, DatasetVersionError):
                views.append(self._version(dataset, version))
        return DatasetVersionList(versions=views, next=more)

"""What a training learns from, as a folder of this machine and as a dataset version."""

from __future__ import annotations

import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from services.trainer.datasets.labelled_images import OnProblem, is_table, read_dataset
from services.trainer.datasets.tables import DatasetError
from services.trainer.datasets.versions import check_out, find_version, keep
from shared.contracts.dataset import FOLDER, VERSIONS, DatasetVersion, DatasetVersionError
from shared.recipe import Recipe, Task
from shared.storage.port import InvalidKey, ObjectStore

PREFIX: Final = f"{FOLDER}/"
OURS: Final = re.compile(rf"{VERSIONS}/[A-Za-z0-9_-]+\.json")
"""A version, below the prefix of a dataset."""
THREADS: Final = 8


@dataclass(frozen=True)
class Material:
    """Labelled images to learn from."""

    folder: Path
    version: DatasetVersion
    """Holds the same for ever."""
    notes: tuple[str, ...] = ()
    """What was noticed when the version was made."""


@dataclass(frozen=True)
class Reading:
    """How labelled images are read."""

    recipe: Recipe
    on_problem: OnProblem
    by: str
    """Who makes the version, where one has to be made."""


class Datasets:
    """The labelled images that a request may name."""

    def __init__(self, store: ObjectStore, cache: Path, folders: Path | None) -> None:
        """Make them.

        Args:
            store: object storage.
            cache: gets what is downloaded.
            folders: folders below this one may be named; None if none may.
        """
        self._store = store
        self._cache = cache
        self._folders = folders

    def fetch(self, dataset: str, reading: Reading) -> Material:
        """Find labelled images; those that are no version yet become one.

        Args:
            dataset: ``name`` or ``name@version`` in object storage, also with ``datasets/`` before it; a prefix
                ``datasets/<name>/`` that holds tables and images; or a folder of this machine.
            reading: how tables that are no version yet are read.

        Raises:
            DatasetError: nothing is there, it is wrong, or the folder may not be read.
            StorageError: of the storage itself.
        """
        try:
            if folder := self._folder(dataset):
                return self._of_folder(folder, dataset, reading)
            name = dataset.removeprefix(PREFIX).rstrip("/")
            if "@" not in name and holds_tables(self._store, name):
                return self._of_prefix(name, reading)
            version = find_version(self._store, name)
            check_out(version, self._store, self._cache)
        except (InvalidKey, DatasetVersionError) as error:
            raise DatasetError([str(error)]) from error
        return Material(self._cache, version)

    def _folder(self, dataset: str) -> Path | None:
        """The folder of this machine that is meant, if one is."""
        if dataset.startswith(PREFIX) or self._folders is None:
            return None
        try:
            path = (self._folders / dataset).resolve()
            is_folder = path.is_dir()
        except (OSError, ValueError):  # no name that a folder may have
            return None
        if not path.is_relative_to(self._folders.resolve()):
            raise DatasetError([f"{dataset}: only folders below {self._folders} may be read"])
        return path if is_folder else None

    def _of_folder(self, folder: Path, dataset: str, reading: Reading) -> Material:
        name = re.sub(r"[^A-Za-z0-9_.=/-]+", "-", dataset).strip("./-") or "dataset"
        return self._keep(folder, name, dataset, reading)

    def _of_prefix(self, name: str, reading: Reading) -> Material:
        brought = self._cache.with_name(f"{self._cache.name}-brought")

        def fetch(key: str) -> None:
            path = brought / key.removeprefix(f"{PREFIX}{name}/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self._store.get(key))

        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(fetch, plain_keys(self._store, name)))
        material = self._keep(brought, name, f"{PREFIX}{name}", reading)
        shutil.rmtree(brought)
        return material

    def _keep(self, folder: Path, name: str, source: str, reading: Reading) -> Material:
        """Learned from is the version: what it came from may change meanwhile, and hold its rows in another order."""
        recipe, on_problem = reading.recipe, reading.on_problem
        exclusive = recipe.task is Task.EXCLUSIVE
        dataset = read_dataset(folder, recipe.label_names, exclusive=exclusive, on_problem=on_problem)
        kept = keep(dataset, self._store, name, by=reading.by, source=source, on_problem=on_problem)
        check_out(kept.version, self._store, self._cache)
        return Material(self._cache, kept.version, (*map(str, kept.problems), *kept.warnings))


def plain_keys(store: ObjectStore, name: str) -> list[str]:
    """The keys below the prefix of a dataset that somebody put there, and that belong to no version."""
    prefix = f"{PREFIX}{name}/"
    return [key for key in store.keys(prefix) if not OURS.fullmatch(key.removeprefix(prefix))]


def holds_tables(store: ObjectStore, name: str) -> bool:
    """Whether somebody put tables below the prefix of a dataset: they are the dataset then, and its newest version."""
    return any(is_table(key.removeprefix(f"{PREFIX}{name}/")) for key in plain_keys(store, name))

"""A dataset of object storage as a folder of this machine."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from services.trainer.tables import DatasetError
from shared.storage.port import InvalidKey, ObjectStore

PREFIX: Final = "datasets/"
THREADS: Final = 8


def folder_of(dataset: str, store: ObjectStore, cache: Path, folders: Path | None) -> Path:
    """Where the labelled pictures of a request are.

    Args:
        dataset: a prefix in object storage (``datasets/<name>``), or a folder of this machine.
        store: object storage.
        cache: gets what is downloaded.
        folders: folders below this one may be named; None if none may.

    Raises:
        DatasetError: nothing is there, or the folder may not be read.
    """
    if dataset.startswith(PREFIX):
        return _download(dataset.rstrip("/"), store, cache)
    if folders is None:
        raise DatasetError(
            [f"{dataset}: datasets are in object storage below {PREFIX}, unless TRAINER_DATASET_FOLDER names a folder"]
        )
    path = (folders / dataset).resolve()
    if not path.is_relative_to(folders.resolve()):
        raise DatasetError([f"{dataset}: only folders below {folders} may be read"])
    return path


def _download(dataset: str, store: ObjectStore, cache: Path) -> Path:
    try:
        keys = list(store.keys(f"{dataset}/"))
    except InvalidKey as error:
        raise DatasetError([str(error)]) from error
    if not keys:
        raise DatasetError([f"{dataset}: nothing is in object storage below it"])

    def fetch(key: str) -> None:
        path = cache / key.removeprefix(f"{dataset}/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(store.get(key))

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(fetch, keys))
    return cache

"""Find the dataset that a training requests, and download its images to this machine."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from services.trainer.datasets.versions import download, find_version, with_labels
from shared.contracts.dataset import FOLDER, DatasetVersion, DatasetVersionError
from shared.datasets.importing import import_dataset
from shared.datasets.labelled_images import Dataset, OnProblem
from shared.datasets.reading import read_dataset
from shared.datasets.tables import DatasetError, problem_lines
from shared.recipe import Recipe
from shared.storage.port import InvalidKey, ObjectStore

PREFIX: Final = f"{FOLDER}/"


@dataclass(frozen=True)
class DownloadedDataset:
    """The images of a dataset version on this machine, with the labels of a recipe.

    For a recipe with ``good_by`` the images have the labels of the version; the training derives its own from them.
    """

    dataset: Dataset
    version: DatasetVersion
    import_warnings: tuple[str, ...] = ()
    """Problems and warnings of the import, if the dataset is an imported folder."""


class DatasetAccess:
    """Fetches the datasets that a training may request."""

    def __init__(self, store: ObjectStore, cache: Path, dataset_folder: Path | None) -> None:
        """Create the access to datasets.

        Args:
            store: object storage.
            cache: a local folder for downloaded images.
            dataset_folder: trainings may request folders below this one; None: they may request no folder.
        """
        self._store = store
        self._cache = cache
        self._dataset_folder = dataset_folder

    def fetch(
        self, dataset: str, recipe: Recipe, *, requested_by: str, on_problem: OnProblem = "stop"
    ) -> DownloadedDataset:
        """Download a dataset version; if a folder is requested, import it first.

        Args:
            dataset: ``name`` or ``name@version``, also with ``datasets/`` before it; or a folder of this machine.
            recipe: the recipe; the returned images have its labels, unless it has ``good_by``.
            requested_by: the person who requests the training, and with it the import of a folder.
            on_problem: ``stop`` makes an unusable row, label or image an error; ``skip`` leaves it out, with a
                warning.

        Raises:
            DatasetError: there is no such dataset, it can't be used, or the folder is outside ``dataset_folder``.
            StorageError: object storage failed.
        """
        warnings: tuple[str, ...] = ()
        unknown: dict[str, tuple[str, ...]] = {}
        try:
            if folder := self._requested_folder(dataset):
                dataset_name = re.sub(r"[^A-Za-z0-9_.=/-]+", "-", dataset).strip("./-") or "dataset"
                # with good_by, the version stores all labels of the folder
                label_names = () if recipe.good_by is not None else recipe.label_names
                images = read_dataset(folder, label_names, task=recipe.task, on_problem=on_problem)
                imported = import_dataset(
                    images, self._store, dataset_name, by=requested_by, source=dataset, on_problem=on_problem
                )
                version = imported.version
                unknown = {example.name: example.unknown for example in images.examples}
                warnings = (*problem_lines(imported.problems), *imported.warnings)
            else:
                version = find_version(self._store, dataset.removeprefix(PREFIX).rstrip("/"))
            labelled_images = download(version, self._store, self._cache)
            if recipe.good_by is None:
                labelled_images = with_labels(labelled_images, recipe, on_problem)
        except (InvalidKey, DatasetVersionError) as error:
            raise DatasetError([str(error)]) from error
        examples = (
            replace(each, unknown=(*each.unknown, *unknown.get(each.name, ()))) for each in labelled_images.examples
        )
        return DownloadedDataset(replace(labelled_images, examples=tuple(examples)), version, warnings)

    def _requested_folder(self, dataset: str) -> Path | None:
        """Return the local folder that a request names; None if it names a dataset in object storage."""
        if dataset.startswith(PREFIX) or self._dataset_folder is None:
            return None
        try:
            path = (self._dataset_folder / dataset).resolve()
            is_folder = path.is_dir()
        except (OSError, ValueError):  # the name is not a valid path, so it names no folder
            return None
        if not path.is_relative_to(self._dataset_folder.resolve()):
            raise DatasetError([f"{dataset}: only folders below {self._dataset_folder} may be read"])
        return path if is_folder else None

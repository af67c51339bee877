"""The images that a model was trained and measured with, small, from the dataset version that it names."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from services.dashboard.web.problems import Problem
from services.dashboard.web.thumbnails import Thumbnails
from shared.contracts.dataset import DatasetVersionError, image_key, read_version
from shared.imaging.codec import FILE_LIMIT
from shared.imaging.video import UnreadableMedia
from shared.language import gettext, translated
from shared.storage.port import InvalidKey, ObjectNotFound, ObjectStore, ObjectTooLarge

WIDTH: Final = 240
"""Pixels."""


class DatasetImages:
    """Reads the images of dataset versions."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._thumbnails = Thumbnails()
        self._digests = lru_cache(maxsize=4)(self._read_digests)  # versions never change

    def has(self, dataset: str) -> bool:
        """Return whether the images are in storage: those of a dataset version are, those of a folder are not."""
        return bool(self._digests_of(dataset))

    def thumbnail(self, dataset: str, name: str) -> bytes:
        """Return an image of a dataset version, no wider than `WIDTH`.

        Raises:
            Problem: 404: it is not in storage, or can't be read.
        """
        digest = self._digests_of(dataset).get(name)
        if digest is None:
            raise Problem(404, gettext("this image is not in object storage: the model was trained on a folder"))
        try:
            return self._thumbnails.get(digest, WIDTH, lambda: self._store.get(image_key(digest), FILE_LIMIT))
        except (ObjectNotFound, ObjectTooLarge, UnreadableMedia) as error:
            raise Problem(404, gettext("this image can't be read: %(error)s", error=translated(error))) from error

    def _digests_of(self, dataset: str) -> Mapping[str, str]:
        try:
            return self._digests(dataset)
        except (ObjectNotFound, DatasetVersionError, InvalidKey):
            return {}

    def _read_digests(self, dataset: str) -> Mapping[str, str]:
        name, _, version = dataset.rpartition("@")
        return {each.name: each.digest for each in read_version(self._store, name, version).images} if name else {}

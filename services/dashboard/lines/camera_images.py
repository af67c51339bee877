"""The newest inspected image of each camera."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Final

from services.dashboard.web.problems import Problem
from shared.contracts.live import LiveImage, live_key
from shared.imaging.codec import FILE_LIMIT
from shared.language import gettext
from shared.storage.port import ObjectNotFound, ObjectStore

CACHE_SECONDS: Final = 0.5
"""Seconds for which a read image is cached."""
MOST_CACHED: Final = 500
"""Most cached images; beyond it, the cache is emptied."""


class CameraImages:
    """Reads live images from object storage."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._cache: dict[str, tuple[float, LiveImage]] = {}

    def get(self, line: str, camera: str) -> LiveImage:
        """Return the newest image of a camera.

        Raises:
            Problem: 404: there is no image of this camera.
            StorageError: object storage failed.
        """
        key, now = live_key(line, camera), time.monotonic()
        read_at, image = self._cache.get(key, (float("-inf"), None))
        if image is None or now - read_at > CACHE_SECONDS:
            try:
                image = LiveImage.decode(self._store.get(key, FILE_LIMIT))
                if image.live_frame.image_key:  # a large image is stored once, under its own key
                    image = replace(image, content=self._store.get(image.live_frame.image_key, FILE_LIMIT))
            except (ObjectNotFound, ValueError) as error:
                raise Problem(
                    404,
                    gettext("there is no image of camera %(camera)r of line %(line)r yet", camera=camera, line=line),
                ) from error
            if len(self._cache) >= MOST_CACHED:
                self._cache.clear()
            self._cache[key] = now, image
        return image

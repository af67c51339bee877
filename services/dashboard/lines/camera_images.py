"""The newest inspected image of each camera."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Final

from services.dashboard.web.language import gettext
from services.dashboard.web.problems import Problem
from shared.contracts.live import LiveImage, live_key
from shared.imaging.codec import FILE_LIMIT
from shared.storage.port import ObjectNotFound, ObjectStore

FRESH_SECONDS: Final = 0.5
"""Pages that ask within this time get the same image, which is read once."""
MOST_CAMERAS: Final = 500


class CameraImages:
    """Reads live images from object storage."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._read: dict[str, tuple[float, LiveImage]] = {}

    def get(self, line: str, camera: str) -> LiveImage:
        """Return the newest image of a camera.

        Raises:
            Problem: 404: there is none.
            StorageError: it can't be read now.
        """
        key, now = live_key(line, camera), time.monotonic()
        at, image = self._read.get(key, (float("-inf"), None))
        if image is None or now - at > FRESH_SECONDS:
            try:
                image = LiveImage.decode(self._store.get(key, FILE_LIMIT))
                if image.about.image_key:
                    image = replace(image, content=self._store.get(image.about.image_key, FILE_LIMIT))
            except (ObjectNotFound, ValueError) as error:
                raise Problem(
                    404,
                    gettext("there is no image of camera %(camera)r of line %(line)r yet", camera=camera, line=line),
                ) from error
            if len(self._read) >= MOST_CAMERAS:
                self._read.clear()
            self._read[key] = now, image
        return image

"""Fetch the images of flagged frames from object storage, and store their heatmaps there."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, TypeVar

from shared.imaging.codec import FILE_LIMIT, Image, UnreadableImage, decode
from shared.messages import FrameInspected
from shared.messaging.loop import RetryLater
from shared.storage.port import InvalidKey, ObjectNotFound, ObjectStore, ObjectTooLarge, StorageError

THREADS: Final = 8
"""Objects stored or fetched at the same time."""

Argument = TypeVar("Argument")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Unexplained:
    """The reason why a frame gets no heatmaps."""

    reason: str


class ImageStore:
    """Fetch images and store heatmaps; ask to retry later while storage is unavailable or an image may still arrive."""

    def __init__(
        self, store: ObjectStore, image_wait_seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Wait ``image_wait_seconds`` for a missing image: from the first attempt, or from the last outage."""
        self._store = store
        self._image_wait_seconds = image_wait_seconds
        self._clock = clock
        self._first_attempt: dict[str, float] = {}
        self._unavailable_at = -math.inf
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="images")

    def fetch(self, frames: Sequence[FrameInspected]) -> list[Image | Unexplained]:
        """Return the image of each frame, or why there is none.

        Raises:
            RetryLater: storage is unavailable, or an image may still arrive.
        """
        for frame in frames:
            self._first_attempt.setdefault(frame.frame.frame_id, self._clock())
        images = self.in_parallel(self._image, frames)
        for frame in frames:
            self._first_attempt.pop(frame.frame.frame_id, None)
        return images

    def put(self, key: str, content: bytes, content_type: str) -> None:
        """Store an object.

        Raises:
            RetryLater: storage did not take it.
        """
        try:
            self._store.put(key, content, content_type)
        except StorageError as error:
            self._unavailable_at = self._clock()
            raise RetryLater(str(error)) from error

    def in_parallel(self, work: Callable[[Argument], Result], arguments: Iterable[Argument]) -> list[Result]:
        """Return the result for each argument; one that fails makes the whole call fail."""
        return list(self._threads.map(work, arguments))

    def _image(self, frame: FrameInspected) -> Image | Unexplained:
        if not frame.image_key:
            return Unexplained("its image was not stored")
        try:
            return decode(self._store.get(frame.image_key, FILE_LIMIT))
        except ObjectNotFound as error:
            # the other loop may have finished with the same frame by now
            since = max(self._first_attempt.get(frame.frame.frame_id, self._clock()), self._unavailable_at)
            if self._clock() - since < self._image_wait_seconds:
                raise RetryLater(f"{frame.image_key} is not in object storage yet") from error
            return Unexplained(f"its image did not arrive in object storage: {error}")
        except (UnreadableImage, InvalidKey, ObjectTooLarge) as error:
            return Unexplained(f"its image can't be read: {error}")
        except StorageError as error:
            self._unavailable_at = self._clock()
            raise RetryLater(str(error)) from error

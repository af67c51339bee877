"""Images out of object storage, heatmaps into it."""

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

HANDS: Final = 8
"""How many objects are put or fetched at once."""

Argument = TypeVar("Argument")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Unexplained:
    """Why a frame gets no heatmaps."""

    reason: str


class Gallery:
    """The objects of flagged frames. While storage is away, or an image is still on its way there, it says: later."""

    def __init__(
        self, store: ObjectStore, image_wait_seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Wait so long for an image that is not there: from the first look, or since storage was away last."""
        self._store = store
        self._image_wait_seconds = image_wait_seconds
        self._clock = clock
        self._first_look: dict[str, float] = {}
        self._away_at = -math.inf
        self._hands = ThreadPoolExecutor(HANDS, thread_name_prefix="gallery")

    def images(self, frames: Sequence[FrameInspected]) -> list[Image | Unexplained]:
        """The image of each frame, or why there is none.

        Raises:
            RetryLater: storage is away, or an image may still arrive.
        """
        for frame in frames:
            self._first_look.setdefault(frame.frame.frame_id, self._clock())
        images = self.at_once(self._image, frames)
        for frame in frames:
            self._first_look.pop(frame.frame.frame_id, None)
        return images

    def put(self, key: str, content: bytes, content_type: str) -> None:
        """Keep an object.

        Raises:
            RetryLater: storage did not take it.
        """
        try:
            self._store.put(key, content, content_type)
        except StorageError as error:
            self._away_at = self._clock()
            raise RetryLater(str(error)) from error

    def at_once(self, work: Callable[[Argument], Result], arguments: Iterable[Argument]) -> list[Result]:
        """Do something to each of many, several at a time; if one fails, all of it fails."""
        return list(self._hands.map(work, arguments))

    def _image(self, frame: FrameInspected) -> Image | Unexplained:
        if not frame.image_key:
            return Unexplained("its image was not kept")
        try:
            return decode(self._store.get(frame.image_key, FILE_LIMIT))
        except ObjectNotFound as error:
            # the other loop may be done with the same frame by now
            since = max(self._first_look.get(frame.frame.frame_id, self._clock()), self._away_at)
            if self._clock() - since < self._image_wait_seconds:
                raise RetryLater(f"{frame.image_key} is not in object storage yet") from error
            return Unexplained(f"its image did not arrive in object storage: {error}")
        except (UnreadableImage, InvalidKey, ObjectTooLarge) as error:
            return Unexplained(f"its image can't be read: {error}")
        except StorageError as error:
            self._away_at = self._clock()
            raise RetryLater(str(error)) from error

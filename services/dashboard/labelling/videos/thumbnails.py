"""Small images: each is made once and cached, and only so many pixels are decoded at a time."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Final

from services.dashboard.labelling.videos.reader import UnreadableVideo, thumbnail
from shared.imaging.codec import PIXEL_LIMIT, UnreadableImage, size_of

CACHED_BYTES: Final = 64 * 1024**2
AT_ONCE: Final = 4
"""Files that are read and decoded."""
PIXELS_AT_ONCE: Final = PIXEL_LIMIT
"""Of the images that are decoded: one of the largest, or many small ones."""


class Thumbnails:
    """Makes thumbnails, and keeps those that were asked for last."""

    def __init__(self, cached_bytes: int = CACHED_BYTES) -> None:
        self._cached_bytes = cached_bytes
        self._cache: OrderedDict[Hashable, bytes] = OrderedDict()
        self._size = 0
        self._places = threading.BoundedSemaphore(AT_ONCE)
        self._pixels = 0
        self._changed = threading.Condition()

    def get(self, key: Hashable, width: int, read: Callable[[], bytes]) -> bytes:
        """The image that ``read`` gives, made no wider than ``width``; ``key`` names both.

        Raises:
            UnreadableVideo: it is broken.
        """
        if (cached := self._cached(key)) is not None:
            return cached
        with self._places:
            if (cached := self._cached(key)) is not None:
                return cached
            content = read()
            with self._decoding(_pixels_of(content)):
                made = thumbnail(content, width)
        self._keep(key, made)
        return made

    def _cached(self, key: Hashable) -> bytes | None:
        with self._changed:
            if key in self._cache:
                self._cache.move_to_end(key)
            return self._cache.get(key)

    def _keep(self, key: Hashable, made: bytes) -> None:
        with self._changed:
            self._size += len(made) - len(self._cache.pop(key, b""))
            self._cache[key] = made
            while self._size > self._cached_bytes:
                self._size -= len(self._cache.popitem(last=False)[1])

    @contextmanager
    def _decoding(self, pixels: int) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: self._pixels == 0 or self._pixels + pixels <= PIXELS_AT_ONCE)
            self._pixels += pixels
        try:
            yield
        finally:
            with self._changed:
                self._pixels -= pixels
                self._changed.notify_all()


def _pixels_of(content: bytes) -> int:
    try:
        width, height = size_of(content)
    except UnreadableImage as error:
        raise UnreadableVideo(str(error)) from error
    return width * height

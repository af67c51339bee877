"""Make and cache thumbnails; limit the number of pixels that are decoded at the same time."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Final

import cv2
import numpy as np

from shared.imaging.codec import PIXEL_LIMIT, Image, UnreadableImage, decode, encode, size_of
from shared.imaging.video import UnreadableMedia

CACHE_BYTES: Final = 64 * 1024**2
MOST_AT_ONCE: Final = 4
"""Most files that are read and decoded at the same time."""
PIXELS_AT_ONCE: Final = PIXEL_LIMIT
"""Most pixels that are decoded at the same time: one image of the largest size, or many small ones."""
JPEG_QUALITY: Final = 85


class Thumbnails:
    """Makes thumbnails, and caches those that were requested last."""

    def __init__(self, cache_bytes: int = CACHE_BYTES) -> None:
        self._limit = cache_bytes
        self._cache: OrderedDict[Hashable, bytes] = OrderedDict()
        self._cached_bytes = 0
        self._slots = threading.BoundedSemaphore(MOST_AT_ONCE)
        self._pixels = 0
        self._changed = threading.Condition()

    def get(self, key: Hashable, width: int, read: Callable[[], bytes]) -> bytes:
        """Return a thumbnail of an image, at most ``width`` pixels wide.

        Args:
            key: identifies the image and the width.
            width: the largest width in pixels.
            read: returns the image file; called only if the thumbnail is not cached.

        Raises:
            UnreadableMedia: the image can't be decoded.
        """
        if (cached := self._cached(key)) is not None:
            return cached
        with self._slots:
            if (cached := self._cached(key)) is not None:
                return cached
            content = read()
            with self._decoding(content):
                made = thumbnail(content, width)
        with self._changed:
            self._cached_bytes += len(made) - len(self._cache.pop(key, b""))
            self._cache[key] = made
            while self._cached_bytes > self._limit:
                self._cached_bytes -= len(self._cache.popitem(last=False)[1])
        return made

    def _cached(self, key: Hashable) -> bytes | None:
        with self._changed:
            if key in self._cache:
                self._cache.move_to_end(key)
            return self._cache.get(key)

    @contextmanager
    def _decoding(self, content: bytes) -> Iterator[None]:
        """Wait until the pixels that other threads decode leave room for this image, and count its pixels."""
        try:
            width, height = size_of(content)
        except UnreadableImage as error:
            raise UnreadableMedia(str(error)) from error
        pixels = width * height
        with self._changed:
            self._changed.wait_for(lambda: self._pixels == 0 or self._pixels + pixels <= PIXELS_AT_ONCE)
            self._pixels += pixels
        try:
            yield
        finally:
            with self._changed:
                self._pixels -= pixels
                self._changed.notify_all()


def thumbnail(content: bytes, width: int) -> bytes:
    """Return an image file that is at most ``width`` pixels wide. A narrower file is returned unchanged.

    Raises:
        UnreadableMedia: the image can't be decoded.
    """
    try:
        image: Image = decode(content, PIXEL_LIMIT)
    except UnreadableImage as error:
        raise UnreadableMedia(str(error)) from error
    if image.shape[1] <= width:
        return content
    height = max(1, round(image.shape[0] * width / image.shape[1]))
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    return encode(np.asarray(small, np.uint8), "jpeg", JPEG_QUALITY)

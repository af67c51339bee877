"""Read frames of a video or album by their number: the same number always gives the same image.

Many video files seek inexactly. So the time of every frame is recorded when a video is scanned, and a seek is accepted
only if it arrives at exactly the time of a frame.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final, Protocol

import cv2

from shared.archives import open_archive
from shared.imaging.codec import as_jpeg_or_png, check_jpeg, encode
from shared.imaging.video import Grabbed, Grabber, UnreadableMedia, current_image, open_video, packets_of

READ_AHEAD: Final = 30
"""A frame at most this far ahead is reached by reading, not by seeking."""
CACHED_BEFORE: Final = 12
"""Frames before the requested one that are cached in passing, because people also step back."""
JPEG_QUALITY: Final = 95
CACHE_BYTES: Final = 96 * 1024**2
TIME_TOLERANCE: Final = 0.01
"""Milliseconds between two times that are the same."""


class FrameReader(Protocol):
    """Reads the frames of one video or album."""

    def image(self, number: int) -> bytes:
        """Return a frame as a JPEG or PNG file.

        Raises:
            UnreadableMedia: the frame can't be read.
        """
        ...

    def close(self) -> None:
        """Close the file."""
        ...


class VideoReader:
    """Reads a video file. Several threads may use it; they take turns."""

    def __init__(self, path: Path, times: Sequence[float]) -> None:
        """Open the video; ``times`` are the milliseconds of every frame, as `scan` recorded them."""
        self._path = path
        self._times = times
        self._can_seek = all(earlier < later for earlier, later in pairwise(times))
        self._capture = open_video(path)
        self._grabber = self._open_grabber()
        self._position = -1
        """Number of the frame that was read last."""
        self._cache: OrderedDict[int, bytes] = OrderedDict()
        self._cached_bytes = 0
        self._lock = threading.Lock()

    def image(self, number: int) -> bytes:
        with self._lock:
            if number not in self._cache:
                is_ahead = self._position < number <= self._position + READ_AHEAD
                if not is_ahead and not self._seek(number):
                    self._rewind()
                if not self._read_to(number):
                    self._rewind()
                    if not self._read_to(number):
                        raise UnreadableMedia(f"frame {number} of the video can't be read: upload the video again")
            self._cache.move_to_end(number)
            return self._cache[number]

    def close(self) -> None:
        with self._lock:
            self._capture.release()

    def _seek(self, number: int) -> bool:
        """Go to a little before a frame. Return whether the position is known afterwards."""
        start = max(0, number - CACHED_BEFORE)
        if not self._can_seek or start == 0 or not self._capture.set(cv2.CAP_PROP_POS_FRAMES, start):
            return False
        if not self._grabber.grab():
            return False
        time = float(self._capture.get(cv2.CAP_PROP_POS_MSEC))
        position = bisect_left(self._times, time - TIME_TOLERANCE)
        if position > number or position >= len(self._times) or abs(self._times[position] - time) > TIME_TOLERANCE:
            return False
        self._position = position
        return self._cache_frame() if position >= start else True

    def _rewind(self) -> None:
        self._capture.release()
        self._capture = open_video(self._path)
        self._grabber = self._open_grabber()
        self._position = -1

    def _open_grabber(self) -> Grabber:
        """Begin to read; only without times of frames is their damage asked for (`_is_left_out`)."""
        return Grabber(self._capture, packets=None if self._can_seek else packets_of(self._path, check_jpeg))

    def _read_to(self, number: int) -> bool:
        """Read forward, and cache the frames shortly before this one. Return whether it is in the cache."""
        while self._position < number:
            grabbed = self._grabber.grab()
            if not grabbed:
                return False
            if self._is_left_out(grabbed):
                continue
            self._position += 1
            if self._position > number - CACHED_BEFORE and not self._cache_frame():
                return False
        return number in self._cache

    def _is_left_out(self, grabbed: Grabbed) -> bool:
        """Return whether the scan left a frame out for its damage. Behind a seek, the time of the frame says it."""
        if not self._can_seek:
            return grabbed.repaired
        following = self._times[self._position + 1]
        return float(self._capture.get(cv2.CAP_PROP_POS_MSEC)) < following - TIME_TOLERANCE

    def _cache_frame(self) -> bool:
        """Cache the frame at the position. Return whether it could be decoded."""
        image = current_image(self._capture)
        if image is None:
            return False
        content = encode(image, "jpeg", JPEG_QUALITY)
        self._cached_bytes += len(content) - len(self._cache.get(self._position, b""))
        self._cache[self._position] = content
        self._cache.move_to_end(self._position)
        while self._cached_bytes > CACHE_BYTES and len(self._cache) > CACHED_BEFORE + 1:
            self._cached_bytes -= len(self._cache.popitem(last=False)[1])
        return True


class AlbumReader:
    """Reads a zip archive of images, in the order of the scan. BMP, TIFF and WebP become PNG."""

    def __init__(self, path: Path, names: Sequence[str]) -> None:
        self._archive = open_archive(path)
        self._names = names

    def image(self, number: int) -> bytes:
        return as_jpeg_or_png(self._archive.read(self._names[number]))

    def close(self) -> None:
        self._archive.close()

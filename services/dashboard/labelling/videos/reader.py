"""Images of a video by their number: the same image for the same number, always.

Seeking in a video is a promise that many files do not keep. So the time of every image is noted when a video is
taken in, by reading it once from beginning to end; a seek is believed only when it lands on the very time.
"""

from __future__ import annotations

import os
import threading
import zipfile
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Final, Protocol

import cv2
import numpy as np

from shared.imaging.codec import PIXEL_LIMIT, Image, UnreadableImage, decode, encode

NEAR: Final = 30
"""So many images further on are reached by reading, not by seeking."""
BEHIND: Final = 12
"""Images before the wanted one that a seek keeps as it passes them: people step back, too."""
QUALITY: Final = 95
"""Of the JPEG files that images of a video become."""
CACHE_BYTES: Final = 96 * 1024**2
OPEN_MILLISECONDS: Final = 5_000
SAME_MILLISECONDS: Final = 0.01


class UnreadableVideo(ValueError):
    """A file that is no video, or not one that can be read to its end; the message says what to do."""


class Reel(Protocol):
    """The images of one video."""

    def image(self, number: int) -> bytes:
        """An image as a JPEG or PNG file.

        Raises:
            UnreadableVideo: it can't be had.
        """
        ...

    def close(self) -> None:
        """Let go of the file."""
        ...


class VideoReader:
    """A video file. Several threads may ask it; they take turns."""

    def __init__(self, path: Path, times: Sequence[float]) -> None:
        """``times``: of every image, as `times_of` found them."""
        self._path = path
        self._times = times
        self._seekable = all(earlier < later for earlier, later in pairwise(times))
        self._capture = open_video(path)
        self._at = -1
        self._cache: OrderedDict[int, bytes] = OrderedDict()
        self._cached = 0
        self._lock = threading.Lock()

    def image(self, number: int) -> bytes:
        """An image as JPEG."""
        with self._lock:
            if number not in self._cache:
                self._go(number)
            self._cache.move_to_end(number)
            return self._cache[number]

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._capture.release()

    def _go(self, number: int) -> None:
        if not self._at < number <= self._at + NEAR and not self._seek(number):
            self._rewind()
        if not self._read_to(number):
            self._rewind()
            if not self._read_to(number):
                raise UnreadableVideo(f"image {number} of the video can't be read: upload the video again")

    def _seek(self, number: int) -> bool:
        """Go to a little before an image, as far as the file allows; whether it is known where that is."""
        start = max(0, number - BEHIND)
        if not self._seekable or start == 0 or not self._capture.set(cv2.CAP_PROP_POS_FRAMES, start):
            return False
        if not self._capture.grab():
            return False
        now = float(self._capture.get(cv2.CAP_PROP_POS_MSEC))
        place = bisect_left(self._times, now - SAME_MILLISECONDS)
        if place > number or place >= len(self._times) or abs(self._times[place] - now) > SAME_MILLISECONDS:
            return False
        self._at = place
        return self._keep() if place >= start else True

    def _rewind(self) -> None:
        self._capture.release()
        self._capture = open_video(self._path)
        self._at = -1

    def _read_to(self, number: int) -> bool:
        while self._at < number:
            if not self._capture.grab():
                return False
            self._at += 1
            if self._at > number - BEHIND and not self._keep():
                return False
        return number in self._cache

    def _keep(self) -> bool:
        readable, image = self._capture.retrieve()
        if not readable:
            return False
        content = encode(np.asarray(image, np.uint8), "jpeg", QUALITY)
        self._cached += len(content) - len(self._cache.get(self._at, b""))
        self._cache[self._at] = content
        self._cache.move_to_end(self._at)
        while self._cached > CACHE_BYTES and len(self._cache) > BEHIND + 1:
            self._cached -= len(self._cache.popitem(last=False)[1])
        return True


class Album:
    """A zip archive of images, in the order in which they were listed when it was taken in."""

    def __init__(self, path: Path, names: Sequence[str]) -> None:
        self._archive = zipfile.ZipFile(path)
        self._names = names

    def image(self, number: int) -> bytes:
        """An image as it was uploaded."""
        return self._archive.read(self._names[number])

    def close(self) -> None:
        """Let go of the file."""
        self._archive.close()


def open_video(path: Path) -> cv2.VideoCapture:
    """Open a video file of this machine.

    Raises:
        UnreadableVideo: it can't be opened.
    """
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, OPEN_MILLISECONDS, cv2.CAP_PROP_READ_TIMEOUT_MSEC, OPEN_MILLISECONDS]
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, limits)
    if not capture.isOpened():
        capture.release()
        raise UnreadableVideo("no video that can be read: convert it with `ffmpeg -i FILE video.mp4`")
    return capture


@contextmanager
def opened(path: Path) -> Iterator[cv2.VideoCapture]:
    """A video file, for a while; raises as `open_video`."""
    capture = open_video(path)
    try:
        yield capture
    finally:
        capture.release()


def thumbnail(content: bytes, width: int) -> bytes:
    """An image file made no wider than ``width``, as JPEG; one that is narrower stays as it is.

    Raises:
        UnreadableVideo: it is broken.
    """
    try:
        image: Image = decode(content, PIXEL_LIMIT)
    except UnreadableImage as error:
        raise UnreadableVideo(str(error)) from error
    if image.shape[1] <= width:
        return content
    height = max(1, round(image.shape[0] * width / image.shape[1]))
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    return encode(np.asarray(small, np.uint8), "jpeg", 85)

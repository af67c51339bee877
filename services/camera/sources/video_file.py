"""Play a video or a folder of images as a source, which has an end and can wait."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import urlsplit

import cv2
import numpy as np
import structlog

from services.camera.errors import CameraError
from services.camera.heartbeat import Heartbeat
from services.camera.sources.address import is_address, redacted
from services.camera.sources.captured_image import CapturedImage, Unreadable, clock
from services.camera.sources.opencv_capture import open_capture
from services.camera.sources.sampling import Sampling
from services.camera.sources.stream import Read
from shared.imaging.video import Grabber, frame_rate_of, played_seconds

RETRY_SECONDS: Final = 5.0
"""Seconds between two attempts to open a video again."""
LONGEST_STEP: Final = 5.0
"""Most seconds between two images, or three intervals at the video's rate; a longer step is cut to one interval."""
COUNTED: Final = (".avi", ".m4v", ".mov", ".mp4")
"""Containers that contain the number of their images; OpenCV estimates it for others."""
MOST_TRIMMED: Final = 0.02
"""Most images that the edit list of an undamaged container leaves out, as a share."""
SKIPPED: Final = "an image of the video is missing"
MOST_LOGGED: Final = 20
"""Most jumps of a video's clock that are logged."""

log = structlog.get_logger(__name__)

Timed = tuple[float, Read | Unreadable]
"""The time of an image in seconds from the beginning, and the function that reads it while it is the current image."""


class Video(Protocol):
    """Images in order, each with its time since the beginning."""

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height of the first readable image, in pixels; None if no image is readable."""
        ...

    @property
    def frames_per_second(self) -> float:
        """The video's own rate."""
        ...

    def images(self) -> Iterator[Timed]:
        """Yield each image, or why it is unreadable, with its time, which rises from 0."""
        ...


class VideoFile:
    """A video file on this machine or on a web server."""

    def __init__(self, address: str, name: str, default_rate: float, *, accept_repaired: bool = False) -> None:
        self._address = address
        self._name = name
        self._accept_repaired = accept_repaired
        self._jumps = 0
        capture = open_capture(address)
        readable, image = capture.retrieve() if Grabber(capture).grab() else (False, None)
        if not readable or image is None:
            raise CameraError(f"{name} has no image that can be read: convert it with `ffmpeg -i FILE video.mp4`")
        self.size = (image.shape[1], image.shape[0])
        self.frames_per_second = frame_rate_of(capture, default_rate)
        self._length = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        if not is_address(address) and (seconds := played_seconds(Path(address))):
            self._length = min(self._length, round(seconds * self.frames_per_second))
        self._has_count = Path(urlsplit(address).path).suffix.lower() in COUNTED
        capture.release()

    @classmethod
    def of_file(cls, path: Path, default_rate: float, *, accept_repaired: bool = False) -> VideoFile:
        return cls(str(path.resolve()), str(path), default_rate, accept_repaired=accept_repaired)

    @classmethod
    def of_address(cls, address: str, default_rate: float, *, accept_repaired: bool = False) -> VideoFile:
        return cls(address, redacted(address), default_rate, accept_repaired=accept_repaired)

    def images(self) -> Iterator[Timed]:
        capture = open_capture(self._address)

        def read() -> CapturedImage | Unreadable:
            captured_at = clock()
            readable, image = capture.retrieve()
            if not readable:
                return Unreadable("an image of the video is broken")
            return CapturedImage(captured_at, np.asarray(image, np.uint8))

        count, at, last, damaged = 0, 0.0, 0.0, False
        usual = 1 / self.frames_per_second
        grabber = Grabber(capture)
        try:
            while grabbed := grabber.grab():
                for _ in range(grabbed.lost):
                    yield at, Unreadable("an image of the video can't be decoded")
                file_time = float(capture.get(cv2.CAP_PROP_POS_MSEC)) / 1000
                step = self._step(file_time - last, usual) if count else 0.0
                last, usual = file_time, min(usual, step or usual)
                if grabbed.repaired or grabbed.lost:
                    damaged = True
                    # after damage, the container continues at a later image
                    skipped = max(0, round(step * self.frames_per_second) - 1 - grabbed.lost)
                    yield from repeat((at, Unreadable(SKIPPED)), skipped)
                    count += skipped
                at += step
                if grabbed.repaired and not self._accept_repaired:
                    yield at, Unreadable("an image of the video is damaged, and the decoder repaired it")
                else:
                    yield at, read
                count += 1 + grabbed.lost
        finally:
            capture.release()
        if count < self._length and not self._jumps:
            log.warning("the video ended early", source=self._name, images=count, announced=self._length)
            if (self._has_count or damaged) and self._length - count > max(2, self._length * MOST_TRIMMED):
                yield from repeat((at, Unreadable(SKIPPED)), self._length - count)

    def _step(self, seconds: float, usual: float) -> float:
        """Return the time from one image to the next. A clock that jumps goes on with the shortest step before it.

        The rate of the video may be too low: a container that divides its images by its time counts the jump too.
        """
        if 0 < seconds <= max(LONGEST_STEP, 3 / self.frames_per_second):
            return seconds
        if seconds:
            self._jumps += 1
            if self._jumps <= MOST_LOGGED:
                log.info(
                    "the clock of the video jumps; the next image is played after one interval",
                    source=self._name,
                    seconds=seconds,
                )
        return usual


class Player:
    """Plays a video as a source: at its own rate or as fast as the line takes it, once or in a loop."""

    is_live = False

    def __init__(self, video: Video, sampling: Sampling, *, paced: bool, loop: bool) -> None:
        self._video = video
        self._sampling = sampling
        self._paced = paced
        self._loop = loop
        self.size = video.size
        self.frames_per_second = sampling.rate_of(video.frames_per_second)
        self.can_wait = not paced

    def images(self, heartbeat: Heartbeat) -> Iterator[CapturedImage | Unreadable]:
        """Yield the sampled images, each when it is due, and all unreadable images."""
        began, offset = time.monotonic(), 0.0
        while True:
            at = offset
            for since_start, read in self._once(heartbeat, repeated=offset > 0):
                at = offset + since_start
                if isinstance(read, Unreadable):
                    if not heartbeat.beat():
                        return
                    yield read
                    continue
                if not self._sampling.takes(at):
                    continue
                if not (heartbeat.wait(began + at - time.monotonic()) if self._paced else heartbeat.beat()):
                    return
                yield read()
            if not self._loop:
                return
            offset = at + 1 / self._video.frames_per_second

    def close(self) -> None:
        """Do nothing: no file stays open between two images."""

    def _once(self, heartbeat: Heartbeat, *, repeated: bool) -> Iterator[Timed]:
        """Yield the images of one run; if ``repeated``, wait for a server or disk that is unavailable."""
        while True:
            try:
                yield from self._video.images()
            except CameraError as error:
                if not repeated:
                    raise
                log.warning("the video is unavailable; trying again", reason=str(error))
                if heartbeat.wait(RETRY_SECONDS):
                    continue
            return

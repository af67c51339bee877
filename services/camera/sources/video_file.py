"""Play videos: sources that have a beginning and an end, and that can wait."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, Protocol

import cv2
import numpy as np
import structlog

from services.camera.errors import CameraError
from services.camera.heartbeat import Heartbeat
from services.camera.sources.captured_image import CapturedImage, clock
from services.camera.sources.opencv_capture import open_capture, redacted
from services.camera.sources.sampling import Sampling
from shared.imaging.video import frame_rate_of

RETRY_SECONDS: Final = 5.0
LONGEST_STEP: Final = 60.0
"""Seconds from one image of a video to the next; a longer step, or a step back, is a fault of the file."""

log = structlog.get_logger(__name__)

Read = Callable[[], CapturedImage]
"""Decodes the current image; an image that sampling skips is never decoded."""


class Video(Protocol):
    """Images in order, each with its time since the beginning."""

    @property
    def size(self) -> tuple[int, int] | None:
        """Return width and height of the first readable image, in pixels."""
        ...

    @property
    def frames_per_second(self) -> float:
        """Return the video's own rate."""
        ...

    def images(self) -> Iterator[tuple[float, Read]]:
        """Yield the time of each image in seconds, rising from 0, and how to read it while it is the current one."""
        ...


class VideoFile:
    """A video file on this machine or on a web server."""

    def __init__(self, address: str, name: str, default_rate: float) -> None:
        self._address = address
        self._name = name
        capture = open_capture(address)
        readable, image = capture.read()
        if not readable:
            raise CameraError(f"{name} has no image that can be read: convert it with `ffmpeg -i FILE video.mp4`")
        self.size = (image.shape[1], image.shape[0])
        self.frames_per_second = frame_rate_of(capture, default_rate)
        self._length = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        capture.release()

    @classmethod
    def of_file(cls, path: Path, default_rate: float) -> VideoFile:
        return cls(str(path.resolve()), str(path), default_rate)

    @classmethod
    def of_address(cls, address: str, default_rate: float) -> VideoFile:
        return cls(address, redacted(address), default_rate)

    def images(self) -> Iterator[tuple[float, Read]]:
        capture = open_capture(self._address)

        def read() -> CapturedImage:
            captured_at = clock()
            readable, image = capture.retrieve()
            if not readable:
                return CapturedImage(captured_at, problem="an image of the video is broken")
            return CapturedImage(captured_at, np.asarray(image, np.uint8))

        position, at, last = 0, 0.0, 0.0
        try:
            while capture.grab():
                file_time = float(capture.get(cv2.CAP_PROP_POS_MSEC)) / 1000
                if position:
                    step = file_time - last
                    at += step if 0 < step <= LONGEST_STEP else 1 / self.frames_per_second
                last = file_time
                yield at, read
                position += 1
        finally:
            capture.release()
        if position < self._length:
            log.warning("the video ended early", source=self._name, images=position, announced=self._length)


class Player:
    """Play a video as a source: at its own rate or as fast as the line takes it, once or in a loop."""

    def __init__(self, video: Video, sampling: Sampling, *, paced: bool, loop: bool) -> None:
        self._video = video
        self._sampling = sampling
        self._paced = paced
        self._loop = loop
        self.size = video.size
        self.frames_per_second = sampling.rate_of(video.frames_per_second)
        self.can_wait = not paced

    def images(self, heartbeat: Heartbeat) -> Iterator[CapturedImage]:
        """Yield the sampled images, each when it is due."""
        began, offset = time.monotonic(), 0.0
        while True:
            at = offset
            for since_start, read in self._once(heartbeat, repeated=offset > 0):
                at = offset + since_start
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

    def _once(self, heartbeat: Heartbeat, *, repeated: bool) -> Iterator[tuple[float, Read]]:
        """Yield the images of one run; when repeated, wait for a server or a disk that is unavailable."""
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

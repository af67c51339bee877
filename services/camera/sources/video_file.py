"""Play a video or a folder of images as a source, which has an end and can wait."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import urlsplit

import cv2
import structlog

from services.camera.errors import CameraError
from services.camera.heartbeat import Heartbeat
from services.camera.sources.address import is_address, redacted
from services.camera.sources.captured_image import CapturedImage, Unreadable, clock
from services.camera.sources.opencv_capture import open_capture
from services.camera.sources.sampling import Sampling
from services.camera.sources.stream import Read
from shared.imaging.codec import check_jpeg
from shared.imaging.packets import Packet
from shared.imaging.video import Grabber, UnreadableMedia, current_image, frame_rate_of, packets_of, played_seconds

RETRY_SECONDS: Final = 5.0
"""Seconds between two attempts to open a video again."""
LONGEST_STEP: Final = 5.0
"""Most seconds between two images, or three intervals at the video's rate; a longer step is cut to one interval."""
MOST_DISORDER: Final = 1.0
"""Seconds by which a damaged image comes too late from the decoder, at most; more is a clock that starts over."""
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
        try:
            image = current_image(capture) if Grabber(capture).grab() else None
        except UnreadableMedia as error:
            raise CameraError(f"{name} can't be read: {error}") from error
        if image is None:
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
            try:
                image = current_image(capture)
            except UnreadableMedia as error:
                return Unreadable(str(error))
            return Unreadable("an image of the video is broken") if image is None else CapturedImage(captured_at, image)

        video_clock = _VideoClock(self._name, self.frames_per_second, self._jumps)
        count, end, lost, was_damaged = 0, 0, 0, False
        grabber = Grabber(capture, packets=self._packets())
        try:
            while grabbed := grabber.grab():
                for _ in range(grabbed.lost):
                    yield video_clock.at, Unreadable("an image of the video can't be decoded")
                before, skipped = video_clock.at, video_clock.advance(float(capture.get(cv2.CAP_PROP_POS_MSEC)) / 1000)
                is_damaged = grabbed.repaired or grabbed.lost > 0
                lost += grabbed.lost
                if is_damaged or was_damaged:  # the container continues at a later image
                    yield from repeat((before, Unreadable(SKIPPED)), max(0, skipped - lost))
                    count += max(0, skipped - lost)
                    lost = max(0, lost - skipped)
                if grabbed.repaired and not self._accept_repaired:
                    yield video_clock.at, Unreadable("an image of the video is damaged, and the decoder repaired it")
                else:
                    yield video_clock.at, read
                count += 1 + grabbed.lost
                was_damaged, end = is_damaged, 1 + int(capture.get(cv2.CAP_PROP_PTS))
        finally:
            capture.release()
            self._jumps = video_clock.jumps
        if not self._jumps:
            missing = self._missing(count, end, damaged=grabber.damaged)
            yield from repeat((video_clock.at, Unreadable(SKIPPED)), missing)

    def _missing(self, count: int, end: int, *, damaged: bool) -> int:
        """Return how many images are missing behind the last one, or anywhere if the container counts its images.

        Args:
            count: of the images that were read or reported.
            end: number of the image that would follow the last one, by its time.
            damaged: whether any damage was found.
        """
        missing = self._length - (count if self._has_count else max(count, end))
        if missing <= 0:
            return 0
        log.warning("the video ended early", source=self._name, images=count, announced=self._length)
        if self._has_count and damaged:
            return missing
        is_known = self._has_count or damaged
        return missing if is_known and missing > max(2, self._length * MOST_TRIMMED) else 0

    def _packets(self) -> Iterator[Packet] | None:
        """Return the packets of the file; None where they are not checked. A video on a server would be loaded twice.

        Raises:
            CameraError: the file can't be opened.
        """
        if is_address(self._address) or self._accept_repaired:
            return None
        try:
            return packets_of(Path(self._address), check_jpeg)
        except (OSError, UnreadableMedia) as error:
            raise CameraError(f"{self._name} can't be read: {error}") from error


class _VideoClock:
    """The time of the images of a video, which rises from 0 whatever the container says."""

    def __init__(self, name: str, frames_per_second: float, jumps: int) -> None:
        self.at = 0.0
        """Seconds from the first image to the present one."""
        self.jumps = jumps
        """How often the clock of the container jumped so far, also while the video was played before."""
        self._name = name
        self._frames_per_second = frames_per_second
        self._usual = 1 / frames_per_second
        self._last: float | None = None
        self._latest = 0.0

    def advance(self, file_time: float) -> int:
        """Go to the next image, and return how many images are missing before it if the video is damaged.

        A clock that jumps goes on with the shortest step before it. The rate of the video may be too low: a container
        that divides its images by its time counts the jump too.

        Args:
            file_time: time of the image by the container, in seconds; 0 also if it says none.
        """
        if self._last is None:
            self._last = self._latest = file_time
            return 0
        if not file_time and self._last > 0:  # after damage, the time of an image may be lost
            file_time = self._last + self._usual
        step = seconds = file_time - self._last
        if not 0 < seconds <= max(LONGEST_STEP, 3 / self._frames_per_second):
            step = self._usual
            if seconds:
                self._log_jump(seconds)
        # after damage, a decoder may hand out an image out of order
        missing = max(0, round(min(step, file_time - self._latest) * self._frames_per_second) - 1)
        is_restarted = not self._latest - file_time < MOST_DISORDER
        self._latest = file_time if is_restarted else max(self._latest, file_time)
        self._last, self._usual = file_time, min(self._usual, step)
        self.at += step
        return missing

    def _log_jump(self, seconds: float) -> None:
        self.jumps += 1
        if self.jumps <= MOST_LOGGED:
            log.info(
                "the clock of the video jumps; the next image is played after one interval",
                source=self._name,
                seconds=seconds,
            )


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

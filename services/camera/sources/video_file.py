"""Videos: sources that have a beginning and an end, and that can wait."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, Literal, Protocol

import cv2
import numpy as np
import structlog

from services.camera.errors import CameraError
from services.camera.pacemaker import Pulse
from services.camera.sources.opencv import open_capture, shown, speed_of
from services.camera.sources.sampling import Sampling
from services.camera.sources.shot import ImageFile, Shot, clock
from shared.imaging.codec import UnreadableImage, decode

ENCODINGS: Final[dict[str, Literal["jpeg", "png"]]] = {".jpg": "jpeg", ".jpeg": "jpeg", ".png": "png"}
OTHER_IMAGES: Final = {".bmp", ".gif", ".tif", ".tiff", ".webp"}
RETRY_SECONDS: Final = 5.0
LONGEST_STEP: Final = 60.0
"""Seconds from one image of a video to the next; a step that is longer, or leads back, is a fault of the file."""
FILE_LIMIT: Final = 256 * 1024**2
"""The largest image file (bytes) that is read at all."""

log = structlog.get_logger(__name__)

Take = Callable[[], Shot]
"""Reads the image that is due; one that sampling passes over is never decoded."""


class Video(Protocol):
    """Images in order, each with its time since the beginning."""

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height of the first image that can be read, in pixels."""
        ...

    @property
    def frames_per_second(self) -> float:
        """The video's own speed."""
        ...

    def images(self) -> Iterator[tuple[float, Take]]:
        """Time in seconds, rising from 0, and how to get the image while it is the current one."""
        ...


class VideoFile:
    """A video file of this machine, or one at the other end of an address."""

    def __init__(self, address: str, name: str, speed_otherwise: float) -> None:
        self._address = address
        self._name = name
        capture = open_capture(address)
        readable, image = capture.read()
        if not readable:
            raise CameraError(f"{name} has no image that can be read: convert it with `ffmpeg -i FILE video.mp4`")
        self.size = (image.shape[1], image.shape[0])
        self.frames_per_second = speed_of(capture, speed_otherwise)
        self._length = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        capture.release()

    @classmethod
    def of_file(cls, path: Path, speed_otherwise: float) -> VideoFile:
        """A video file of this machine."""
        return cls(str(path.resolve()), str(path), speed_otherwise)

    @classmethod
    def of_address(cls, address: str, speed_otherwise: float) -> VideoFile:
        """A video file on a web server."""
        return cls(address, shown(address), speed_otherwise)

    def images(self) -> Iterator[tuple[float, Take]]:
        """Every image of the video."""
        capture = open_capture(self._address)
        position, at, last = 0, 0.0, 0.0
        try:
            while capture.grab():
                said = float(capture.get(cv2.CAP_PROP_POS_MSEC)) / 1000
                if position:
                    step = said - last
                    at += step if 0 < step <= LONGEST_STEP else 1 / self.frames_per_second
                last = said
                yield at, lambda: _retrieved(capture)
                position += 1
        finally:
            capture.release()
        if position < self._length:
            log.warning("the video ended early", source=self._name, images=position, announced=self._length)


class ImageFolder:
    """JPEG and PNG files in the order a person would number them: 2 before 10."""

    def __init__(self, paths: Sequence[Path], frames_per_second: float) -> None:
        self._paths = paths
        self.frames_per_second = frames_per_second
        self.size = self._first_size()

    @classmethod
    def of_folder(cls, folder: Path, frames_per_second: float) -> ImageFolder:
        """The images of a folder, not of the folders in it.

        Raises:
            CameraError: there is none.
        """
        try:
            files = [path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")]
        except OSError as error:
            raise CameraError(f"{folder} can't be read: {error.strerror}") from error
        images = sorted((path for path in files if path.suffix.lower() in ENCODINGS), key=natural_order)
        others = sum(path.suffix.lower() in OTHER_IMAGES for path in files)
        if not images:
            hint = f"; its {others} other images would have to be converted" if others else ""
            raise CameraError(f"{folder} has no .jpg, .jpeg or .png in it{hint}")
        if others:
            log.warning("passing over images that are neither JPEG nor PNG", folder=str(folder), images=others)
        return cls(images, frames_per_second)

    def images(self) -> Iterator[tuple[float, Take]]:
        """Every image of the folder."""
        for position, path in enumerate(self._paths):
            yield position / self.frames_per_second, lambda path=path: _read(path)  # type: ignore[misc]

    def _first_size(self) -> tuple[int, int] | None:
        for path in self._paths[:10]:
            if (image := _read(path).image) is not None:
                return image.shape[1], image.shape[0]
        return None


class Player:
    """Plays a video as a source: at its own speed or as fast as it is taken, once or over and over."""

    def __init__(self, video: Video, sampling: Sampling, *, paced: bool, loop: bool) -> None:
        self._video = video
        self._sampling = sampling
        self._paced = paced
        self._loop = loop
        self.size = video.size
        self.frames_per_second = sampling.rate_of(video.frames_per_second)
        self.patient = not paced

    def shots(self, pulse: Pulse) -> Iterator[Shot]:
        """The images that sampling takes, each when its time has come."""
        began, offset = time.monotonic(), 0.0
        while True:
            at = offset
            for since_start, take in self._images(pulse, again=offset > 0):
                at = offset + since_start
                if not self._sampling.takes(at):
                    continue
                if not (pulse.wait(began + at - time.monotonic()) if self._paced else pulse.beat()):
                    return
                yield take()
            if not self._loop:
                return
            offset = at + 1 / self._video.frames_per_second

    def close(self) -> None:
        """Nothing is left open between two images."""

    def _images(self, pulse: Pulse, *, again: bool) -> Iterator[tuple[float, Take]]:
        """The video once; when it was there before, a server or a disk that is away is waited for."""
        while True:
            try:
                yield from self._video.images()
            except CameraError as error:
                if not again:
                    raise
                log.warning("the video is away; trying again", reason=str(error))
                if pulse.wait(RETRY_SECONDS):
                    continue
            return


def natural_order(path: Path) -> tuple[list[str | int], str]:
    """Sorts names by the numbers in them."""
    parts = re.split(r"(\d+)", path.stem.casefold())
    return [int(part) if position % 2 else part for position, part in enumerate(parts)], path.name


def _retrieved(capture: cv2.VideoCapture) -> Shot:
    taken_at = clock()
    readable, image = capture.retrieve()
    if not readable:
        return Shot(taken_at, problem="an image of the video is broken")
    return Shot(taken_at, np.asarray(image, np.uint8))


def _read(path: Path) -> Shot:
    """An image file; what can't be decoded keeps its bytes, what can't be read at all has none."""
    taken_at = clock()
    encoding = ENCODINGS[path.suffix.lower()]
    content, image, problem = b"", None, ""
    try:
        if (size := path.stat().st_size) > FILE_LIMIT:
            return Shot(taken_at, problem=f"{path.name} has {size / 1e6:.0f} MB; the limit is {FILE_LIMIT / 1e6:.0f}")
        content = path.read_bytes()
        encoding = "png" if content.startswith(b"\x89PNG") else "jpeg" if content.startswith(b"\xff\xd8") else encoding
        image = decode(content)
    except OSError as error:
        problem = f"{path.name} can't be read: {error.strerror}"
    except UnreadableImage as error:
        problem = f"{path.name}: {error}"
    return Shot(taken_at, image, ImageFile(content, encoding), problem)

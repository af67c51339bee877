"""Record the frames of a camera as videos."""

from __future__ import annotations

import shutil
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Protocol

import cv2
import structlog

from services.camera.errors import CameraError
from services.camera.settings import CameraSettings
from services.camera.sources.opening import Source
from shared.imaging.codec import Image

RETRY_SECONDS: Final = 30.0
"""Seconds between two attempts to begin a video."""
LEAST_FREE: Final = 1024**3
"""Bytes that a recording leaves free on its disk, because the outbox may need them."""

log = structlog.get_logger(__name__)


class Recorder(Protocol):
    """Records frames, or ignores them."""

    def write(self, image: Image) -> None:
        """Add a frame."""
        ...

    def close(self) -> None:
        """End the recording."""
        ...


class NoRecorder:
    """Records nothing."""

    def write(self, image: Image) -> None:
        """Ignore the frame."""

    def close(self) -> None:
        """Do nothing."""


class VideoRecorder:
    """Writes frames into MPEG-4 files, a new one every few minutes, because an unfinished file can't be read."""

    def __init__(self, folder: Path, name: str, frames_per_second: float, minutes: float) -> None:
        self._folder = folder
        self._name = name
        self._frames_per_second = frames_per_second
        self._frames_per_video = max(1, round(frames_per_second * 60 * minutes))
        self._writer: cv2.VideoWriter | None = None
        self._size = (0, 0)
        self._written = 0
        self._pausing = False
        self._next_try = 0.0
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CameraError(f"CAMERA_RECORD: {folder} can't be created: {error.strerror}") from error

    def write(self, image: Image) -> None:
        """Add a frame. An image of another size begins a new video; an image of odd size loses a row or a column."""
        size = (image.shape[1], image.shape[0])
        if self._writer is None:
            if time.monotonic() >= self._next_try:
                self._begin(size)
        elif size != self._size or self._written >= self._frames_per_video:
            self._begin(size)
        if self._writer is not None:
            self._writer.write(image)
        self._written += 1

    def close(self) -> None:
        """End the video, so that it can be read."""
        if self._writer is not None:
            self._writer.release()
            self._writer = None

    def _begin(self, size: tuple[int, int]) -> None:
        self.close()
        self._size, self._written = size, 0
        self._next_try = time.monotonic() + RETRY_SECONDS
        try:
            has_room = shutil.disk_usage(self._folder).free >= LEAST_FREE
        except OSError:
            has_room = False
        if not has_room and not self._pausing:
            log.error("no video is written: its disk is almost full or unavailable", folder=str(self._folder))
        self._pausing = not has_room
        if self._pausing:
            return
        path = self._folder / f"{self._name}-{datetime.now(UTC):%Y%m%dT%H%M%S.%f}.mp4"
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), self._frames_per_second, size)
        if writer.isOpened():
            self._writer = writer
        else:
            log.error("a video can't be written; inspection continues without it", path=str(path))


def open_recorder(settings: CameraSettings, source: Source) -> Recorder:
    """Return the recorder of the settings.

    Raises:
        CameraError: the folder of the videos can't be created.
    """
    if settings.record is None:
        return NoRecorder()
    name = f"{settings.line}.{settings.name}"
    return VideoRecorder(settings.record, name, source.frames_per_second, settings.record_minutes)

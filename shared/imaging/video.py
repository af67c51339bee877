"""Open videos with OpenCV: without its log output, and with time limits."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import cv2

TIMEOUT_MILLISECONDS: Final = 5_000
"""To open a video, and to read one frame."""
HIGHEST_FRAME_RATE: Final = 1_000.0
"""Frames per second. A file that claims more, such as the 90,000 of a clock, does not know its frame rate."""


class UnreadableMedia(ValueError):
    """A file that is not a video, or a video that can't be read; the message says what to do."""


def silence_opencv() -> None:
    """Suppress the log output of OpenCV and FFmpeg, which may contain passwords of network addresses."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


def open_video(source: Path | str) -> cv2.VideoCapture:
    """Open a video file or a network address.

    Raises:
        UnreadableMedia: It can't be opened.
    """
    silence_opencv()
    limits = [
        cv2.CAP_PROP_OPEN_TIMEOUT_MSEC,
        TIMEOUT_MILLISECONDS,
        cv2.CAP_PROP_READ_TIMEOUT_MSEC,
        TIMEOUT_MILLISECONDS,
    ]
    capture = cv2.VideoCapture(str(source), cv2.CAP_FFMPEG, limits)
    if not capture.isOpened():
        capture.release()
        raise UnreadableMedia("not a video that can be read: convert it with `ffmpeg -i FILE video.mp4`")
    return capture


@contextmanager
def opened_video(path: Path) -> Iterator[cv2.VideoCapture]:
    """Open a video file while the block runs; raises as `open_video`."""
    capture = open_video(path)
    try:
        yield capture
    finally:
        capture.release()


def frame_rate_of(capture: cv2.VideoCapture, default: float) -> float:
    """Return the frames per second of an open video, or the default if the video does not know them."""
    rate = float(capture.get(cv2.CAP_PROP_FPS))
    return rate if 0 < rate <= HIGHEST_FRAME_RATE else default


def natural_order(name: str) -> tuple[list[str | int], str]:
    """Return a sort key by which file names are ordered as a person numbers them: 2 before 10."""
    parts = re.split(r"(\d+)", name.casefold())
    return [int(part) if position % 2 else part for position, part in enumerate(parts)], name

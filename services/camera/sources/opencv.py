"""OpenCV's video capture: opened quietly, with time limits, and without telling passwords."""

from __future__ import annotations

import os
import re
from typing import Final

import cv2

from services.camera.errors import CameraError
from services.camera.settings import Resolution

OPEN_MILLISECONDS: Final = 5_000
READ_MILLISECONDS: Final = 5_000
FASTEST: Final = 1_000
"""Frames per second; a container that claims more (90,000 is a clock's rate) does not know its speed."""

NETWORK_SCHEMES: Final = ("rtsp", "rtsps", "http", "https")


def is_address(source: str) -> bool:
    """Whether a source is reached over the network."""
    return source.partition("://")[0].lower() in NETWORK_SCHEMES


def shown(address: str) -> str:
    """A network address as it may be logged: cameras take passwords before the host, in the path and in the query."""
    scheme, _, rest = address.partition("://")
    host, *further = re.split(r"[/?#]", rest.rpartition("@")[2], maxsplit=1)  # a password may hold / ? and # as well
    return f"{scheme}://{host}" + ("/…" if any(further) else "")


def open_capture(source: str | int, resolution: Resolution | None = None) -> cv2.VideoCapture:
    """Open a file, a network address or a USB camera.

    Raises:
        CameraError: it can't be opened.
    """
    _quieten()
    if isinstance(source, int):
        capture = cv2.VideoCapture(source)
        if capture.isOpened() and resolution:
            capture.set(cv2.CAP_PROP_FRAME_WIDTH, resolution.width)
            capture.set(cv2.CAP_PROP_FRAME_HEIGHT, resolution.height)
    else:
        limits = [
            cv2.CAP_PROP_OPEN_TIMEOUT_MSEC,
            OPEN_MILLISECONDS,
            cv2.CAP_PROP_READ_TIMEOUT_MSEC,
            READ_MILLISECONDS,
        ]
        capture = cv2.VideoCapture(source, cv2.CAP_FFMPEG, limits)
    if not capture.isOpened():
        capture.release()
        raise CameraError(_advice(source))
    return capture


def speed_of(capture: cv2.VideoCapture, otherwise: float) -> float:
    """Frames per second as the source says, if it says something that can be true."""
    speed = float(capture.get(cv2.CAP_PROP_FPS))
    return speed if 0 < speed <= FASTEST else otherwise


def _advice(source: str | int) -> str:
    if isinstance(source, int):
        return (
            f"there is no USB camera {source}: see which there are with `ls /dev/video*`, "
            "and give the device to the container if it runs in one"
        )
    if is_address(source):
        return (
            f"{shown(source)} does not answer with a video: check that the camera is on, its address and its password"
        )
    return f"{source} is no video that can be read: convert it with `ffmpeg -i FILE video.mp4`"


def _quieten() -> None:
    """OpenCV and FFmpeg write to standard error past the log, with the address in it; what failed is raised here."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

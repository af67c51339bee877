"""Open videos and cameras with OpenCV: with time limits, and without messages that contain passwords."""

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
"""Highest credible rate in frames per second; a container that claims more names the rate of its clock."""

NETWORK_SCHEMES: Final = ("rtsp", "rtsps", "http", "https")


def is_address(source: str) -> bool:
    """Return whether a source is reached over the network."""
    return source.partition("://")[0].lower() in NETWORK_SCHEMES


def redacted(address: str) -> str:
    """Return an address that may be logged: the user information, the path and the query may hold passwords."""
    scheme, _, rest = address.partition("://")
    host, *further = re.split(r"[/?#]", rest.rpartition("@")[2], maxsplit=1)  # a password may hold / ? and #
    return f"{scheme}://{host}" + ("/…" if any(further) else "")


def open_capture(source: str | int, resolution: Resolution | None = None) -> cv2.VideoCapture:
    """Open a file, a network address or a USB camera.

    Raises:
        CameraError: it can't be opened.
    """
    # OpenCV and FFmpeg write the address to standard error; a failure is raised here instead
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
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
    if capture.isOpened():
        return capture
    capture.release()
    if isinstance(source, int):
        raise CameraError(
            f"there is no USB camera {source}: list the cameras with `ls /dev/video*`, "
            "and give the device to the container if it runs in one"
        )
    if is_address(source):
        raise CameraError(
            f"{redacted(source)} does not answer with a video: check that the camera is on, its address and its "
            "password"
        )
    raise CameraError(f"{source} is not a video that can be read: convert it with `ffmpeg -i FILE video.mp4`")


def speed_of(capture: cv2.VideoCapture, default: float) -> float:
    """Return the frames per second that the source announces, or the default if that is not credible."""
    speed = float(capture.get(cv2.CAP_PROP_FPS))
    return speed if 0 < speed <= FASTEST else default

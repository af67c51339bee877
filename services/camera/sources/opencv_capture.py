"""Open videos and cameras with OpenCV: with time limits, and without messages that contain passwords."""

from __future__ import annotations

import re
from typing import Final

import cv2

from services.camera.errors import CameraError
from services.camera.settings import Resolution
from shared.imaging.video import UnreadableMedia, open_video, silence_opencv

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
    if isinstance(source, int):
        silence_opencv()
        capture = cv2.VideoCapture(source)
        if capture.isOpened() and resolution:
            capture.set(cv2.CAP_PROP_FRAME_WIDTH, resolution.width)
            capture.set(cv2.CAP_PROP_FRAME_HEIGHT, resolution.height)
        if capture.isOpened():
            return capture
        capture.release()
        raise CameraError(
            f"there is no USB camera {source}: list the cameras with `ls /dev/video*`, "
            "and give the device to the container if it runs in one"
        )
    try:
        return open_video(source)
    except UnreadableMedia as error:
        if is_address(source):
            raise CameraError(
                f"{redacted(source)} does not answer with a video: check that the camera is on, its address and its "
                "password"
            ) from None
        raise CameraError(f"{source} is {error}") from error

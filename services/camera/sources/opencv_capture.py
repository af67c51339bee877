"""Open videos and cameras with OpenCV: with time limits, and without messages that contain passwords."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import cv2

from services.camera.errors import CameraError
from services.camera.settings import Resolution
from services.camera.sources.address import encoding_hint, is_address, redacted
from shared.imaging.video import TIMEOUT_MILLISECONDS, UnreadableMedia, open_video, silence_opencv

RTSP_OPTIONS: Final = "rtsp_flags;prefer_tcp|allowed_media_types;video|reorder_queue_size;10"
"""Options of FFmpeg for RTSP, unless OPENCV_FFMPEG_CAPTURE_OPTIONS is set: use TCP first, and receive no sound.

With a queue, FFmpeg tells which packets are missing over TCP too: a camera that is too busy leaves out some.
"""


Device = int | Path
"""A USB camera: its number, or the path of its device."""


def open_capture(
    source: str | Device, resolution: Resolution | None = None, silence_seconds: float = TIMEOUT_MILLISECONDS / 1000
) -> cv2.VideoCapture:
    """Open a file, a network address or a USB camera.

    Raises:
        CameraError: the source can't be opened.
    """
    if isinstance(source, Device):
        silence_opencv()
        capture = cv2.VideoCapture(source) if isinstance(source, int) else cv2.VideoCapture(str(source), cv2.CAP_V4L2)
        if capture.isOpened() and resolution:
            capture.set(cv2.CAP_PROP_FRAME_WIDTH, resolution.width)
            capture.set(cv2.CAP_PROP_FRAME_HEIGHT, resolution.height)
        if capture.isOpened():
            return capture
        capture.release()
        raise CameraError(
            f"there is no USB camera {source}: list the cameras with `ls /dev/video* /dev/v4l/by-id/`, "
            "and give the device to the container if it runs in one"
        )
    os.environ.setdefault("OPENCV_FFMPEG_CAPTURE_OPTIONS", RTSP_OPTIONS)
    try:
        return open_video(source, round(silence_seconds * 1000))
    except UnreadableMedia as error:
        if is_address(source):
            raise CameraError(
                f"{redacted(source)} does not answer with a video: check that the camera is on, its address and its "
                f"password{encoding_hint(source)}"
            ) from None
        raise CameraError(f"{source} is {error}") from error

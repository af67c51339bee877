"""Read a USB camera, or a network camera that FFmpeg decodes, through OpenCV."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import cv2

from services.camera.settings import Resolution
from services.camera.sources.captured_image import CapturedImage, Unreadable, clock, time_of_image
from services.camera.sources.opencv_capture import Device, open_capture
from services.camera.sources.stream import Disconnected, Read
from shared.imaging.video import Grabber, UnreadableMedia, current_image, frame_rate_of

LONGEST_DAMAGE: Final = 100
"""Most packets in a row that can't be decoded before the camera is opened again."""


class OpenCvStream:
    """A USB camera, or a network camera whose stream FFmpeg decodes."""

    size: tuple[int, int] | None = None

    def __init__(
        self,
        address: str | Device,
        name: str,
        *,
        silence_seconds: float,
        accept_repaired: bool = False,
        resolution: Resolution | None = None,
    ) -> None:
        """Open the camera; raises `CameraError`."""
        self._name = name
        self._silence_seconds = silence_seconds
        self._accept_repaired = accept_repaired
        self._capture = open_capture(address, resolution, silence_seconds)
        self.frames_per_second = frame_rate_of(self._capture, 0) or None

    def images(self) -> Iterator[Read | Unreadable | None]:
        grabber = Grabber(self._capture, LONGEST_DAMAGE)
        while grabbed := grabber.grab(self._silence_seconds):
            for _ in range(grabbed.lost):
                yield Unreadable(f"{self._name} sent data that can't be decoded")
            if grabbed.repaired and not self._accept_repaired:
                yield Unreadable(f"data of {self._name} was lost on its way, and the decoder repaired the image")
            else:
                yield self._read
        raise Disconnected(f"{self._name} stopped sending")

    def close(self) -> None:
        self._capture.release()

    def _read(self) -> CapturedImage | Unreadable:
        # for a network camera, the time of its first image by its own clock (RTCP), and the time since then
        opened = float(self._capture.get(cv2.CAP_PROP_STREAM_OPEN_TIME_USEC)) / 1e6
        captured_at = (
            time_of_image(opened + float(self._capture.get(cv2.CAP_PROP_POS_MSEC)) / 1e3) if opened else clock()
        )
        try:
            image = current_image(self._capture)
        except UnreadableMedia as error:
            return Unreadable(f"{self._name} can't be read: {error}")
        return Unreadable(f"{self._name} sent a broken image") if image is None else CapturedImage(captured_at, image)

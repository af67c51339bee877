"""The port of live cameras: one connection to a camera, and the images that it receives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from services.camera.sources.captured_image import CapturedImage, Unreadable

Read = Callable[[], CapturedImage | Unreadable]
"""Decodes and returns the current image. It is not called for images that sampling skips."""


class Disconnected(Exception):
    """The camera has stopped sending; the message says why."""


class Stream(Protocol):
    """One connection to a live camera."""

    frames_per_second: float | None
    """Images per second; None if the camera does not report its rate."""
    size: tuple[int, int] | None
    """Width and height of the images in pixels if the camera waits for triggers; None if it sends by itself."""

    def images(self) -> Iterator[Read | Unreadable | None]:
        """Yield a function that reads the current image, or why it is unreadable; yield None while no image comes.

        Raises:
            Disconnected: the camera stopped sending.
        """
        ...

    def close(self) -> None:
        """End the connection."""
        ...

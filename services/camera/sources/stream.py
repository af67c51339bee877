"""The port of live cameras: one connection, and its images as they come."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from services.camera.sources.captured_image import CapturedImage, Unreadable

Read = Callable[[], CapturedImage | Unreadable]
"""Decodes the current image; an image that sampling skips is never decoded."""


class Disconnected(Exception):
    """A camera sends no more; the message says why."""


class Stream(Protocol):
    """One connection to a live camera."""

    frames_per_second: float | None
    """None if the camera does not name its rate."""
    size: tuple[int, int] | None
    """Width and height of the images of a camera that waits for a trigger; None of a camera that sends by itself."""

    def images(self) -> Iterator[Read | Unreadable | None]:
        """Yield how to read each image while it is the current one, or why it can't be read; None while none comes.

        Raises:
            Disconnected: the camera stopped sending.
        """
        ...

    def close(self) -> None:
        """End the connection."""
        ...

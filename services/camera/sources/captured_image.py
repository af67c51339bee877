"""One image of a source, with the time of its capture."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

from shared.imaging.codec import Image

EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(2099, 12, 31, tzinfo=UTC)
"""The earliest and the latest time in messages. The clock of a machine without a clock battery starts in 1970."""


def clock() -> datetime:
    """Return the time of this machine, limited to `EARLIEST` and `LATEST`."""
    return min(max(datetime.now(UTC), EARLIEST), LATEST)


MOST_SKEW: Final = timedelta(seconds=30)
"""A camera's own time is used if it differs from this machine's time by less than this."""


def time_of_image(seconds: float) -> datetime:
    """Return the capture time that a camera sent with an image, or the present time if the camera's clock is wrong.

    Args:
        seconds: Unix time by the camera's clock; 0 if the camera sends no time.
    """
    now = clock()
    if not abs(seconds - now.timestamp()) < MOST_SKEW.total_seconds():
        return now
    return min(datetime.fromtimestamp(seconds, UTC), now)


@dataclass(frozen=True)
class EncodedImage:
    """The content of an image file."""

    content: bytes
    encoding: Literal["jpeg", "png"]


@dataclass(frozen=True)
class CapturedImage:
    """An image: its pixels, its file, or both; without either, the reason why the image is dropped.

    A file without pixels could not be decoded. It is sent unchanged and gets a verdict like any other image.
    """

    captured_at: datetime
    pixels: Image | None = None
    file: EncodedImage | None = None
    problem: str = ""
    read_at: float = field(default_factory=time.monotonic, compare=False)
    """When the image was read, in seconds of the steady clock."""


@dataclass(frozen=True)
class Unreadable:
    """An image of the source that becomes no frame, for example because it is damaged or the camera is frozen."""

    reason: str

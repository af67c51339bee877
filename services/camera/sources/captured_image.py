"""Describe one image as a source gives it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

from shared.imaging.codec import Image

EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(2099, 12, 31, tzinfo=UTC)
"""The times that a message may carry. A machine without a battery for its clock starts in 1970."""


def clock() -> datetime:
    """Return the time of this machine, limited to `EARLIEST` and `LATEST`."""
    return min(max(datetime.now(UTC), EARLIEST), LATEST)


MOST_SKEW: Final = timedelta(seconds=30)
"""A camera's own time is used if it differs from this machine's time by less."""


def time_of_image(seconds: float) -> datetime:
    """Return the time of an image that a camera names, or now where the camera's clock is wrong.

    Args:
        seconds: Unix time by the camera's clock; 0 if the camera does not name one.
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
    """The pixels of an image, the file that holds it, both, or the reason why the image is dropped.

    A file without pixels could not be decoded: it is sent as it is, and gets a verdict like any other.
    """

    captured_at: datetime
    pixels: Image | None = None
    file: EncodedImage | None = None
    problem: str = ""
    read_at: float = field(default_factory=time.monotonic, compare=False)
    """When it was read, by the steady clock."""


@dataclass(frozen=True)
class Unreadable:
    """An image of the source that becomes no frame: it is damaged, or a frozen camera sends it again."""

    reason: str
